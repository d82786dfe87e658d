from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unlearning.histories import (
    APART,
    MODEL,
    OTHER,
    SHELF,
    SHOP,
    SHOP_1,
    SHOP_2,
    TIMES,
    History,
    digest,
    grow,
)
from unlearning.cli.lineage_text import label
from unlearning.registry.client import Version
from unlearning.steps.promote import evidence_at, promote
from unlearning.steps.register import register
from unlearning.steps.reject import reject

Chain = dict[str, Path]
Cli = Callable[..., Any]
FOLLOWED = "followed"


@pytest.fixture
def family(chain: Chain) -> None:
    """An original, a candidate rejected under a tight margin, and the same one promoted under a wide one."""
    register(
        model_path=chain["model"],
        split_path=chain["split"],
        evaluation_path=chain["before"],
        model_name=FOLLOWED,
        run_name="first",
    )
    paths = {f"{name}_path": chain[name] for name in ("candidate", "forget", "audit", "evaluation")}
    reject(evidence_at(**paths, verdict_path=chain["failed"]), model_name=FOLLOWED, parent="1", run_name="second")
    promote(evidence_at(**paths, verdict_path=chain["passed"]), model_name=FOLLOWED, parent="1", run_name="third")


@pytest.mark.slow
@pytest.mark.usefixtures("family")
def test_every_version_stands_below_the_one_it_was_made_from(cli: Cli) -> None:
    answer = cli("lineage", "show", FOLLOWED)
    assert (answer.code, answer.err) == (0, "")
    name, original, rejected, promoted = answer.out.splitlines()
    assert name.strip() == FOLLOWED
    assert "version 1 [superseded]: original by pretrain, superseded" in original
    assert "version 2: unlearned by gradient_matching, rejected, verdict " in rejected
    assert "version 3 [champion]: unlearned by gradient_matching, serving, verdict passed, largest AUC gap " in promoted
    assert "accepted" not in answer.out
    depth = [line.index("version") for line in (original, rejected, promoted)]
    assert depth[0] < depth[1] == depth[2]


@pytest.mark.usefixtures("family")
def test_scripts_get_the_versions_as_json(cli: Cli) -> None:
    answer = cli("lineage", "show", FOLLOWED, "--json")
    versions = json.loads(answer.out)
    assert [version["version"] for version in versions] == ["1", "2", "3"]
    assert [version["tags"]["parent"] for version in versions] == ["none", "1", "1"]
    assert [version["aliases"] for version in versions] == [["superseded"], [], ["champion"]]


def test_an_unknown_model_is_told_in_one_line(cli: Cli, home: Path) -> None:
    answer = cli("lineage", "show", "nobody")
    assert answer.code == 2
    assert "model 'nobody' is not in the registry" in answer.error


def test_what_was_accepted_without_having_passed_and_on_which_attempt_is_told() -> None:
    tags = {"kind": "unlearned", "method": "finetune", "status": "serving", "verdict": "inconclusive"}
    tags |= {"rung": "stronger_1", "accepted": "yes"}
    told = label(Version(name="m", version="3", aliases=("champion",), tags=tags, description=""))
    assert told == (
        "version 3 [champion]: unlearned by finetune (escalated setting 1), serving, verdict inconclusive, "
        "accepted all the same"
    )


class Reference:
    """The answers again, slowly, by MLflow's own client, one version at a time."""

    def __init__(self, history: History) -> None:
        self.client = history.client

    def tags(self, model: str, number: str) -> dict[str, str]:
        return dict(self.client.get_model_version(model, number).tags)

    def numbers(self, model: str) -> list[str]:
        return sorted((str(each.version) for each in self.client.search_model_versions(f"name = '{model}'")), key=int)

    def chain(self, model: str, number: str) -> list[str]:
        parent = self.tags(model, number)["parent"]
        return [number] if parent == "none" else [number, *self.chain(model, parent)]

    def honours(self, model: str, number: str, request: str) -> bool:
        return any(
            self.tags(model, each).get(f"request.{request}") == "fulfilled" for each in self.chain(model, number)
        )

    def pending(self, models: tuple[str, ...], request: str) -> list[tuple[str, str]]:
        return [
            (model, number)
            for model in models
            for number in self.numbers(model)
            if not self.honours(model, number, request)
        ]

    def going_back_to(self, snapshot: str) -> list[tuple[str, str]]:
        found = []
        for model in (MODEL, OTHER, APART):
            for number in self.numbers(model):
                held = {self.tags(model, each)["snapshot"] for each in self.chain(model, number)}
                found += [(model, number)] if snapshot in held else []
        return sorted(found)


@pytest.fixture
def ask(cli: Cli, at_history: History) -> Callable[..., Any]:
    """The answer of a lineage command as JSON; for people it must answer as well."""

    def call(*arguments: str) -> Any:
        shown = cli("lineage", *arguments)
        assert (shown.code, shown.err) == (0, "")
        assert shown.out.strip()
        answer = cli("lineage", *arguments, "--json")
        assert (answer.code, answer.err) == (0, "")
        return json.loads(answer.out)

    return call


Ask = Callable[..., Any]


def names(entries: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(each["model"], each["version"]) for each in entries]


@pytest.mark.slow
def test_which_version_serves(ask: Ask, history: History) -> None:
    assert {model: ask("serving", model)["version"] for model in (MODEL, OTHER, APART)} == {
        MODEL: "4", OTHER: "2", APART: "1",
    }  # fmt: skip
    for model in (MODEL, OTHER, APART):
        found = ask("serving", model)
        assert found["version"] == str(history.client.get_model_version_by_alias(model, "champion").version)
    found = ask("serving", MODEL)
    assert (found["since"], found["replaced"]) == ("2027-03-01T03:10:00+00:00", "3")
    assert found["requests"] == ["R1", "R2", "R3"]


@pytest.mark.slow
def test_what_replaced_which_when_and_for_whom(ask: Ask) -> None:
    found = {number: ask("replaced", MODEL, number) for number in "1234"}
    assert {number: each["replaced_by"] for number, each in found.items()} == {"1": "3", "2": None, "3": "4", "4": None}
    assert [each["replaced_at"] for each in found.values()] == [TIMES["batch-1"], "none", TIMES["batch-2"], "none"]
    assert [each["requests"] for each in found.values()] == [["R1", "R2"], [], ["R3"], []]
    assert [each["batch"] for each in found.values()] == ["batch-1", "none", "batch-2", "none"]
    assert ask("replaced", MODEL, "champion")["version"] == "4"


@pytest.mark.slow
def test_all_ancestors_down_to_the_snapshot(ask: Ask, history: History) -> None:
    found = ask("ancestors", MODEL, "4")
    assert found["snapshots"] == [SHOP_2, SHOP_1, SHOP]
    assert [step["status"] for step in found["steps"]] == ["serving", "withdrawn", "purged"]
    reference = Reference(history)
    for model in (MODEL, OTHER, APART):
        for number in reference.numbers(model):
            found = ask("ancestors", model, number)
            assert [step["version"] for step in found["steps"]] == reference.chain(model, number)
            assert all(step["parent_matches"] for step in found["steps"])


@pytest.mark.slow
def test_who_has_not_honoured_a_request(ask: Ask, history: History) -> None:
    expected = {
        "R1": ([(MODEL, "2"), (OTHER, "1")], [(MODEL, "1")]),
        "R2": ([(MODEL, "2"), (OTHER, "1")], [(MODEL, "1")]),
        "R3": ([(MODEL, "2"), (MODEL, "3"), (OTHER, "1"), (OTHER, "2")], [(MODEL, "1")]),
        "R4": ([(OTHER, "1"), (OTHER, "2")], []),
    }
    reference = Reference(history)
    for request, (stored, purged) in expected.items():
        found = ask("pending", request)
        assert (names(found["stored"]), names(found["purged"])) == (stored, purged), request
        assert sorted(stored + purged) == reference.pending(tuple(found["models"]), request)


@pytest.mark.slow
def test_who_honoured_a_request_first_with_its_certificate(ask: Ask, history: History) -> None:
    expected = {"R1": [(MODEL, "3"), (OTHER, "2")], "R2": [(MODEL, "3"), (OTHER, "2")], "R3": [(MODEL, "4")], "R4": []}
    for request, versions in expected.items():
        found = ask("honoured", request)["versions"]
        assert names(found) == versions
        for each in found:
            assert each["certificate"] == f"certificates/{request}/00000001.json"
            assert history.store.exists(each["certificate"])
            assert each["still"]


@pytest.mark.slow
def test_who_was_trained_on_a_snapshot_and_who_forgot_part_of_it(ask: Ask, history: History) -> None:
    found = ask("trained-on", SHOP)["versions"]
    assert {(each["model"], each["version"]): each["forgot"] for each in found} == {
        (MODEL, "1"): "nothing", (MODEL, "2"): "tried", (MODEL, "3"): "part", (MODEL, "4"): "part",
        (OTHER, "1"): "nothing", (OTHER, "2"): "part",
    }  # fmt: skip
    assert ask("trained-on", SHOP[:8]) == ask("trained-on", SHOP)
    assert ask("trained-on", digest("snapshot", "not trained on"))["versions"] == []
    for snapshot in (SHOP, SHOP_1, SHOP_2, SHELF):
        assert names(ask("trained-on", snapshot)["versions"]) == Reference(history).going_back_to(snapshot)


@pytest.mark.slow
def test_the_audit_of_a_version(ask: Ask, history: History) -> None:
    for number, outcome in (("2", "leaks"), ("3", "passed")):
        found = ask("audit", MODEL, number)
        run = Reference(history).tags(MODEL, number)["run"]
        logged = {
            name: json.loads(Path(history.client.download_artifacts(run, name)).read_text())
            for name in ("audit", "verdict")
        }
        assert found["outcome"] == outcome == logged["verdict"]["outcome"]
        assert (found["limits"], found["reasons"]) == (logged["verdict"]["limits"], logged["verdict"]["reasons"])
        aucs = [(each["name"], each["auc"]) for each in logged["audit"]["models"]["candidate"]["attacks"]]
        assert [(each["name"], each["auc"]) for each in found["attacks"]] == aucs


@pytest.mark.slow
def test_what_was_derived_and_whether_it_is_still_there(ask: Ask) -> None:
    found = {number: ask("artefacts", MODEL, number)["artefacts"] for number in "1234"}
    states = {
        number: [(each["kind"], each["state"], each["objects"]) for each in listed] for number, listed in found.items()
    }
    assert states["1"] == [
        ("weights", "purged", 0), ("references", "purged", 0), ("snapshot", "live", 2), ("split", "live", 1),
    ]  # fmt: skip
    assert states["2"][0] == ("weights", "withdrawn", 1)
    assert states["3"] == [
        ("weights", "withdrawn", 1), ("snapshot", "live", 2), ("split", "live", 1), ("certificate", "live", 1),
        ("certificate", "live", 1), ("batch", "live", 1), ("forget_set", "purged", 0),
    ]  # fmt: skip
    assert {state for _, state, _ in states["4"]} == {"live"}
    shared = {each["kind"]: each["shared_with"] for each in found["3"]}
    assert shared["snapshot"] == [f"{MODEL}/2", f"{OTHER}/2"]


@pytest.mark.slow
def test_the_drawing_is_printed_or_written(cli: Cli, ask: Ask, tmp_path: Path) -> None:
    assert [(each["version"], each["parent"]) for each in ask("graph", MODEL)] == [
        ("1", "none"), ("2", "1"), ("3", "1"), ("4", "3"),
    ]  # fmt: skip
    printed = cli("lineage", "graph", MODEL).out
    assert printed.count(" --> ") == 3
    for name, begins in (("a.mmd", "---\ntitle: "), ("b.svg", "<svg ")):
        assert cli("lineage", "graph", MODEL, "--output", tmp_path / name).code == 0
        assert (tmp_path / name).read_text().startswith(begins)
    assert (tmp_path / "a.mmd").read_text() == printed


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("serving", "nobody"), "model 'nobody' is not in the registry"),
        (("serving", "it's"), "holds a quote"),
        (("replaced", "nobody", "1"), "model 'nobody' is not in the registry"),
        (("replaced", MODEL, "9"), f"model '{MODEL}' has no version or alias '9'"),
        (("ancestors", MODEL, "nobody"), "has no version or alias 'nobody'"),
        (("artefacts", MODEL, "5"), "has no version or alias '5'"),
        (("audit", MODEL, "1"), f"model {MODEL} version 1 was not audited: it has no verdict"),
        (("graph", "nobody"), "model 'nobody' is not in the registry"),
        (("graph", MODEL, "--output", "a.pdf"), "cannot draw a.pdf: give a file that ends in .svg or .mmd"),
        (("pending", "R9"), "request 'R9' was never looked up and no version honours it"),
        (("honoured", "R9"), "request 'R9' was never looked up"),
        (("pending", "R'1"), "is no id of a request"),
        (("honoured", "../R1"), "is no id of a request"),
        (("trained-on", "xyz"), "snapshot 'xyz' is no digest"),
        (("trained-on", "0" * 64), "is neither in the store nor known to any version: check the digest"),
        (("trained-on", "0" * 8), "is neither in the store nor known to any version"),
    ],
)
def test_what_is_not_known_is_told_in_one_line(
    cli: Cli, at_history: History, arguments: tuple[str, ...], problem: str
) -> None:
    for extra in ((), ("--json",)):
        answer = cli("lineage", *arguments, *extra)
        assert (answer.code, answer.out) == (2, "")
        assert problem in answer.error


@pytest.mark.slow
def test_a_thousand_versions_are_answered_in_seconds(
    cli: Cli, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(history.home / "mlflow.db", tmp_path / "mlflow.db")
    grow(tmp_path / "mlflow.db", MODEL, 1000)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("UNLEARNING_HOME", str(history.home))
    started = time.process_time()
    found = json.loads(cli("lineage", "ancestors", MODEL, "1000", "--json").out)
    assert [step["version"] for step in found["steps"]] == [*map(str, range(1000, 3, -1)), "3", "1"]
    pending = json.loads(cli("lineage", "pending", "R3", "--json").out)
    assert names(pending["stored"])[:3] == [(MODEL, "2"), (MODEL, "3"), (OTHER, "1")]
    back = json.loads(cli("lineage", "trained-on", SHOP, "--json").out)
    assert len(back["versions"]) == 1002
    assert json.loads(cli("lineage", "serving", MODEL, "--json").out)["version"] == "4"
    assert time.process_time() - started < 40, "about 1.5 s each on an idle core"
