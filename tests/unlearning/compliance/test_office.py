"""Random histories of an office: no certificate says what the oracle denies, and what is erased is gone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.unlearning.compliance.office import PEOPLE, PICTURES, Office, opened
from unlearning.audit.results import Audit
from unlearning.core.files import canonical_json
from unlearning.reporting.summary import Summary

HISTORIES = int(os.environ.get("OFFICE_HISTORIES", "25"))
SHRINK = bool(os.environ.get("OFFICE_SHRINK"))
"""A history that fails is made shorter, which takes minutes."""
MODELS = st.sampled_from(("shop", "shelf"))
SEEDS = st.integers(0, 10)
SOME = st.frozensets(st.integers(0, PICTURES - 1), min_size=14)
FEW = st.frozensets(st.integers(0, PICTURES - 1), min_size=1, max_size=4)
TAGS = st.sampled_from(("status", "split", "snapshot", "kind", "parent", "from_split", "digest"))


def documents(make_summary: Callable[..., Summary]) -> dict[str, bytes]:
    """What a candidate that passed logs."""
    summary = make_summary("passed", "unlearned")
    audits = {each: found.audit for each, found in summary.models.items()}
    audits["candidate"] = audits.pop("unlearned")
    audit = Audit(
        records={"forget": 100, "holdout": 300, "retained": 300}, seed=0, split="s", forget="f", models=audits,
        comparisons=summary.verdict.comparisons,
    )  # fmt: skip
    made = {
        "method": "gradient_matching", "recipe": {}, "seed": 0, "seconds": 1.0, "device": "cpu", "commit": "c",
        "snapshot": "s", "split": "s", "settings": {"epochs": 1},
    }  # fmt: skip
    found: dict[str, Any] = {
        "audit": audit.model_dump(mode="json"), "verdict": summary.verdict.model_dump(mode="json"), "provenance": made,
    }  # fmt: skip
    return {f"{name}.json": canonical_json(content).encode() for name, content in found.items()}


class Undisturbed(RuleBasedStateMachine):
    """The office as a state machine."""

    kept: ClassVar[dict[str, bytes]] = {}
    """What candidates log."""
    by_hand: ClassVar[bool] = False
    """Whether somebody moves things on MLflow's page."""
    counts: ClassVar[Counter[str]] = Counter()

    @initialize(pictures=SOME, seed=SEEDS)
    def opens(self, pictures: frozenset[int], seed: int) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.patch = pytest.MonkeyPatch()
        self.office = opened(self.folder / "home", self.kept, self.patch)
        self.office.begin("shop", pictures, seed)
        self.office.finish(self.office.trainings[0])

    def step(self) -> Office:
        self.office.steps += 1
        self.office.later(1)
        self.counts["steps"] += 1
        return self.office

    @rule(model=MODELS, pictures=SOME, seed=SEEDS)
    def begins(self, model: str, pictures: frozenset[int], seed: int) -> None:
        self.step().begin(model, pictures, seed)

    @precondition(lambda self: self.office.trainings)
    @rule()
    def finishes(self) -> None:
        office = self.step()
        office.finish(office.trainings[0])

    @rule(person=st.integers(0, PEOPLE), model=st.sampled_from(("", "", "", "shop")))
    def asks_as_a_person(self, person: int, model: str) -> None:
        self.step().request(person, frozenset(), model)

    @rule(pictures=FEW, model=st.sampled_from(("", "", "", "shelf")))
    def asks_by_record(self, pictures: frozenset[int], model: str) -> None:
        self.step().request(None, pictures, model)

    @precondition(lambda self: self.office.asked)
    @rule(data=st.data())
    def changes_their_mind(self, data: st.DataObject) -> None:
        office = self.step()
        office.change_their_mind(data.draw(st.sampled_from(sorted(office.asked))))

    @precondition(lambda self: self.office.asked)
    @rule(
        outcomes=st.lists(st.sampled_from(("promote", "promote", "promote", "reject", "nothing")), min_size=1),
        dies=st.sampled_from(("", "", "", "", "collect", "promote", "fulfil", "certify")),
        meanwhile=st.booleans(),
    )
    def runs_a_batch(self, outcomes: list[str], dies: str, meanwhile: bool) -> None:
        self.step().batch(outcomes, dies=dies, meanwhile=meanwhile)

    @rule()
    def certifies_and_purges(self) -> None:
        office = self.step()
        office.certify()
        office.purge()

    @rule(days=st.integers(1, 5))
    def waits(self, days: int) -> None:
        self.step().later(24 * days)

    @precondition(lambda self: self.by_hand)
    @rule(hours=st.sampled_from((-96, -30, -1, 1, 30)))
    def the_clock_is_set(self, hours: int) -> None:
        self.step().later(hours)

    @precondition(lambda self: self.by_hand and self.office.client.models)
    @rule(data=st.data(), what=st.sampled_from(("alias", "alias", "drop", "tag", "status", "delete")))
    def somebody_moves_things(self, data: st.DataObject, what: str) -> None:
        office = self.step()
        model = data.draw(st.sampled_from(sorted(office.client.models)))
        versions = sorted(office.client.models[model].versions)
        if not versions:
            return
        version = data.draw(st.sampled_from(versions))
        tags = office.client.models[model].versions[version].tags
        if what == "alias" and tags.get("purge_started", "none") == "none":
            office.move_champion(model, version)
        elif what == "drop":
            office.drop_champion(model)
        elif what == "tag":
            office.delete_tag(model, version, data.draw(TAGS))
        elif what == "status":
            office.set_tag(model, version, "status", data.draw(st.sampled_from(("serving", "purged", "done"))))
        elif what == "delete":
            office.delete_version(model, version)

    def teardown(self) -> None:
        if not hasattr(self, "office"):
            return
        try:
            self.office.work_through()
            self.counts["certificates"] += len(self.office.certified)
            self.counts["histories"] += 1
            assert self.office.found_again() == []
        finally:
            self.patch.undo()
            shutil.rmtree(self.folder)


class Disturbed(Undisturbed):
    """The same, with hands on MLflow's page."""

    by_hand = True
    counts: ClassVar[Counter[str]] = Counter()


@pytest.mark.parametrize("machine", [Undisturbed, Disturbed])
def test_no_certificate_says_what_the_oracle_denies(
    machine: type[Undisturbed], make_summary: Callable[..., Summary], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Undisturbed, "kept", documents(make_summary))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=14,
            deadline=None,
            phases=(Phase.generate, Phase.shrink) if SHRINK else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(dict(machine.counts))
    assert machine.counts["certificates"] > 0
