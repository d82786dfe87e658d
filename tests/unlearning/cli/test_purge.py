from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unlearning.erasures import erased_ids
from unlearning.cli.purge import size_text
from unlearning.compliance.retention.withdraw import withdraw
from unlearning.core import settings
from unlearning.registry.client import Registry

Cli = Callable[..., Any]
Leaks = Callable[[], dict[str, list[str]]]


@pytest.fixture
def withdrawn(erasure: Any) -> None:
    del erasure
    withdraw(model_name="tiny", records={"R1": erased_ids()}, now=datetime.now(UTC), grace_days=30)


@pytest.mark.usefixtures("withdrawn")
def test_a_dry_run_lists_what_waits_and_what_would_go(cli: Cli, home: Path) -> None:
    before = sorted(home.rglob("*"))
    answer = cli("purge", "--dry-run")
    assert (answer.code, answer.err) == (0, "")
    assert "checkpoint (1 objects, " in answer.out
    assert "weights" not in answer.out
    assert answer.out.count("waits until ") == 2
    assert " UTC: tiny version 1, for request R1" in answer.out
    now = cli("purge", "--dry-run", "--now").out
    assert "weights of tiny version 1 (" in now
    assert "withdrawn for request R1\n  mlflow: m-" in now
    assert "would mark as purged: tiny version 1, tiny version 2" in now
    assert "waits" not in now
    found = json.loads(cli("purge", "--dry-run", "--now", "--json").out)
    assert f"would delete {found['objects']} objects" in now
    assert sum(item["bytes"] for item in found["items"]) == found["bytes"] > 0
    assert sorted(home.rglob("*")) == before


@pytest.mark.usefixtures("withdrawn")
def test_it_deletes_only_what_is_due_unless_told_otherwise(cli: Cli, leaks: Leaks) -> None:
    everything = leaks()
    answer = cli("purge", "--grace-days", "100")
    assert answer.code == 0
    assert answer.out.splitlines()[-1].startswith("waits until ")
    assert set(leaks()) == set(everything)
    answer = cli("purge", "--now")
    assert "deleted weights of tiny version 1: " in answer.out
    assert answer.out.splitlines()[-2:] == [
        "purged tiny version 1, for request R1", "purged tiny version 2, for request R1",
    ]  # fmt: skip
    assert leaks() == {}
    assert Registry(settings.from_environment().tracking_uri).resolve("tiny").version == "3"
    assert json.loads(cli("purge", "--json").out) == {"versions": [], "objects": 0, "bytes": 0, "waiting": []}


@pytest.mark.usefixtures("erasure")
def test_an_unknown_model_is_told_in_one_line(cli: Cli) -> None:
    answer = cli("purge", "--model", "nobody", "--dry-run")
    assert answer.code == 2
    assert "model 'nobody' is not in the registry" in answer.error


def test_without_anything_there_is_nothing_to_do(cli: Cli, home: Path) -> None:
    assert cli("purge", "--dry-run").out == "nothing is due\n"
    assert cli("purge").out == "deleted 0 objects, 0 bytes\n"
    assert home.exists()


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 * 1024**2, "5.0 MiB")]
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert size_text(size) == text
