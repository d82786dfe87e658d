from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unlearning.reporting import summary
from unlearning.reporting.summary import Summary

Cli = Callable[..., Any]
Make = Callable[..., Summary]


def commands(text: str) -> list[list[str]]:
    """The commands that are offered."""
    told = text.partition("Next:\n")[2].splitlines()
    return [shlex.split(line.strip().partition("  ")[0]) for line in told]


def test_who_has_no_run_yet_is_told_how_to_make_one(cli: Cli, home: Path) -> None:
    answer = cli()
    assert (answer.code, answer.err) == (0, "")
    assert "No finished run in" in answer.out
    assert ["unlearn", "run"] in commands(answer.out)
    assert all(len(line) <= 80 for line in answer.out.partition("Next:")[2].splitlines())
    assert not home.exists()


def test_who_has_one_is_told_what_it_came_to(cli: Cli, home: Path, make_summary: Make) -> None:
    made = make_summary("leaks", None)
    summary.save(made, home / "mine" / "summary.json")
    (home / "latest").symlink_to("mine")
    answer = cli()
    assert f"The latest run is {made.run_id}: its unlearned model still leaks, and version 1 serves." in answer.out
    assert ["unlearn", "lineage", "show", made.registry.model_name] in commands(answer.out)
    assert "latest/report.html" in answer.out


def test_requests_that_wait_are_named_with_the_first_deadline(cli: Cli, home: Path) -> None:
    home.mkdir(parents=True)
    for number, received in (("1", "2026-10-05T10:00:00Z"), ("2", "2020-02-03T10:00:00Z")):
        asked = {"id": f"case-{number}", "received": received, "legal-basis": "GDPR Art. 17", "record": number * 64}
        added = cli("requests", "add", *(part for name, value in asked.items() for part in (f"--{name}", value)))
        assert added.code == 0, added.err
    answer = cli()
    assert "requests that wait: 2, " in answer.out
    assert "the first is due 2020-03-03 23:59" in answer.out
    assert "(case-2)" in answer.out
    assert ["unlearn", "compliance", "run"] in commands(answer.out)


def test_every_command_it_offers_exists(cli: Cli, home: Path, make_summary: Make) -> None:
    offered = commands(cli().out)
    summary.save(make_summary(), home / "mine" / "summary.json")
    (home / "latest").symlink_to("mine")
    offered += commands(cli().out)
    assert len(offered) > 6
    for program, *arguments in offered:
        assert program == "unlearn"
        names = [each for each in arguments if each != "--help"]
        assert cli(*names, "--help").code == 0


@pytest.mark.parametrize("broken", ["{", "{}"])
def test_a_damaged_run_is_told_in_one_line(cli: Cli, home: Path, broken: str) -> None:
    (home / "latest").mkdir(parents=True)
    (home / "latest" / "summary.json").write_text(broken)
    answer = cli()
    assert answer.code == 2
    assert "summary" in answer.error
