from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import margins
from unlearning.learning import models

Chain = dict[str, Path]
Cli = Callable[..., Any]
STEPS = (
    "ingest", "split", "pretrain", "references", "register", "resolve", "select", "retrain-or-none", "unlearn", "audit",
    "evaluate", "decide", "promote", "reject",
)  # fmt: skip


def options(chain: Chain, *names: str, **renamed: str) -> list[str]:
    """`--name path` for artifacts of the chain, by the name of the option."""
    named = {name: name for name in names} | renamed
    return [text for option, name in named.items() for text in (f"--{option.replace('_', '-')}", str(chain[name]))]


def content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {file.name: file.read_bytes() for file in files if file.name != "provenance.json"}  # it holds seconds


def test_every_step_can_be_taken_by_hand(cli: Cli) -> None:
    shown = cli("step", "--help")
    assert shown.code == 0
    assert all(f" {step} " in shown.out for step in STEPS)


@pytest.mark.parametrize("step", STEPS)
def test_every_step_explains_itself(cli: Cli, step: str) -> None:
    shown = cli("step", step, "--help")
    assert shown.code == 0
    assert "--json" in shown.out


def test_ingest_writes_snapshot_and_recipe(cli: Cli, chain: Chain, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "snapshot", "--recipe-out", tmp_path / "resolved")
    answer = cli("step", "ingest", *options(chain, "recipe"), *out, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["records"] == 1797
    assert content(tmp_path / "snapshot") == content(chain["snapshot"])
    assert (tmp_path / "resolved").read_bytes() == chain["resolved"].read_bytes()


@pytest.mark.parametrize(
    ("arguments", "given", "renamed", "written"),
    [
        (("split",), ("snapshot",), {"recipe_file": "resolved"}, "split"),
        (("pretrain", "--device", "cpu"), ("snapshot", "split"), {"recipe_file": "resolved"}, "model"),
        (("select", "--fraction", "0.4"), ("snapshot", "split"), {}, "forget"),
        (("unlearn", "--device", "cpu"), ("model", "snapshot", "split", "forget"), {}, "candidate"),
        (
            ("unlearn", "--device", "cpu", "--method", "retrain", "--seed", "1"),
            ("model", "snapshot", "split", "forget"),
            {},
            "retrained",
        ),
        (
            ("retrain-or-none", "--device", "cpu", "--seed", "1"),
            ("model", "snapshot", "split", "forget"),
            {},
            "retrained",
        ),
        (
            ("audit", "--device", "cpu"),
            ("candidate", "retrained", "references", "snapshot", "split", "forget"),
            {"original": "model"},
            "audit",
        ),
        (("evaluate", "--device", "cpu"), ("snapshot", "split"), {"original": "model"}, "before"),
        (
            ("evaluate", "--device", "cpu"),
            ("candidate", "retrained", "snapshot", "split", "forget"),
            {"original": "model"},
            "evaluation",
        ),
        (("decide", *margins.OPTIONS), ("audit", "evaluation"), {}, "passed"),
    ],
)
def test_a_step_by_hand_writes_what_the_pipeline_writes(
    cli: Cli,
    chain: Chain,
    tmp_path: Path,
    arguments: tuple[str, ...],
    given: tuple[str, ...],
    renamed: dict[str, str],
    written: str,
) -> None:
    answer = cli("step", *arguments, *options(chain, *given, **renamed), "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert answer.out
    assert content(tmp_path / "out").keys() <= {"out", *content(chain[written])}
    assert list(content(tmp_path / "out").values()) == list(content(chain[written]).values())


def test_register_resolve_reject_and_promote_by_hand(cli: Cli, chain: Chain, tmp_path: Path) -> None:
    name = ("--model-name", "by-hand")
    registered = cli("step", "register", *options(chain, "model", "split", evaluation="before"), *name, "--run-name=r")
    assert registered.code == 0, registered.err
    targets = [
        text for kind in ("model", "snapshot", "split", "references") for text in (f"--{kind}-out", tmp_path / kind)
    ]
    resolved = cli("step", "resolve", *name, *targets, "--json")
    made = {"version": "1", "digest": models.digest(chain["model"]), "references": 8}
    assert json.loads(resolved.out) == {**made, "compared_with": "retrained", "unlearned": 0}
    assert content(tmp_path / "snapshot") == content(chain["snapshot"])
    given = [*options(chain, "candidate", "forget", "audit", "evaluation"), *name, "--parent=1", "--run-name=r"]
    refused = cli("step", "promote", *given, *options(chain, verdict="failed"))
    assert refused.code == 2
    assert "only a passed candidate can be promoted" in refused.error
    told = cli("step", "reject", *given, *options(chain, verdict="failed"), "--action", "accept")
    assert "action accept lets the candidate serve" in told.error
    rejected = cli("step", "reject", *given, *options(chain, verdict="failed"), "--json")
    assert json.loads(rejected.out)["tags"]["status"] == "rejected"
    promoted = cli("step", "promote", *given, *options(chain, verdict="passed"), "--json")
    assert json.loads(promoted.out)["aliases"] == ["champion"]


def test_the_steps_by_hand_do_without_a_retrained_model(cli: Cli, chain: Chain, tmp_path: Path) -> None:
    data = options(chain, "snapshot", "split", "forget")
    at = {name: tmp_path / name for name in ("none", "audit", "evaluation", "verdict")}
    given = [*data, *options(chain, "model"), "--compare-with", "references", "--out", at["none"]]
    told = cli("step", "retrain-or-none", *given)
    assert (told.code, told.out) == (0, "retrained: none\n")
    models = [*options(chain, "candidate", original="model"), "--retrained", at["none"], "--device", "cpu"]
    for step, more in (("audit", options(chain, "references")), ("evaluate", [])):
        out = at["audit" if step == "audit" else "evaluation"]
        answer = cli("step", step, *data, *models, *more, "--out", out)
        assert answer.code == 0, answer.err
    evidence = ["--audit", at["audit"], "--evaluation", at["evaluation"], "--out", at["verdict"]]
    assert "of models not trained on the records" in cli("step", "decide", *evidence, *margins.OPTIONS).out
    mixed = ["--audit", at["audit"], *options(chain, "evaluation"), "--out", tmp_path / "mixed"]
    assert "run both on the same models" in cli("step", "decide", *mixed, *margins.OPTIONS).error


def test_a_decision_by_hand_says_what_follows(cli: Cli, chain: Chain, tmp_path: Path) -> None:
    given = (*options(chain, "audit", "evaluation"), "--out", tmp_path / "verdict", "--auc-margin", "0.001")
    answer = cli("step", "decide", *given, "--stronger", 0, "--on-inconclusive", "stop", "--on-failure", "stop")
    assert answer.out.splitlines()[-1] == "then: person"
    decided = json.loads(cli("step", "decide", *given, *margins.OPTIONS, "--json").out)
    assert (decided["action"], decided["verdict"]["outcome"]) == ("promote", "passed")


def test_a_missing_input_is_told_in_one_line(cli: Cli, chain: Chain, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    answer = cli(
        "step", "split", "--snapshot", nothing, *options(chain, recipe_file="resolved"), "--out", tmp_path / "s"
    )
    assert answer.code == 2
    assert "nothing/manifest.json does not exist" in answer.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (("split",), {"snapshot": "snapshot", "recipe_file": "resolved"}),
        (("select",), {"snapshot": "snapshot", "split": "split"}),
        (("decide",), {"audit": "audit", "evaluation": "evaluation"}),
        (("evaluate", "--device=cpu"), {"original": "model", "snapshot": "snapshot", "split": "split"}),
    ],
)
def test_an_output_below_a_file_is_told_in_one_line(
    cli: Cli, chain: Chain, arguments: tuple[str, ...], given: dict[str, str]
) -> None:
    answer = cli("step", *arguments, *options(chain, **given), "--out", chain["recipe"] / "out")
    assert answer.code == 2
    assert "choose a folder you may write to" in answer.error
