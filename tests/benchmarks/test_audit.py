from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks import audit
from benchmarks.audit import (
    COUNT,
    AuditJob,
    Original,
    make_references,
    simulated,
    validate,
    without_offset,
    without_pair,
)
from benchmarks.audit_page import KINDS, Judged, measured_errors, render
from unlearning import recipes
from unlearning.audit.attacks.lira import logit_confidence
from unlearning.audit.reference_baseline import ReferenceBaseline, as_audited
from unlearning.audit.references.signals import References, ReferencesManifest
from unlearning.audit.references.training import halves
from unlearning.audit.signals import NAMES, SignalConfig

MEMBERS, HOLDOUT = 60, 30
SHORT = "{split: {members: 100, holdout: 60}, training: {epochs: 2}, signals: {queries: 2}}"


@pytest.fixture
def references() -> References:
    draw = np.random.default_rng(0)
    return References(
        manifest=ReferencesManifest(
            original="a", split="b", count=COUNT, seed=0, signals=SignalConfig(queries=2),
            numbers=tuple(range(COUNT)), seconds=(1.0,) * COUNT,
        ),
        trained=halves(MEMBERS, COUNT, 0),
        members={name: draw.normal(size=(COUNT, MEMBERS)) for name in NAMES},
        holdout={name: draw.normal(size=(COUNT, HOLDOUT)) for name in NAMES},
        member_losses=draw.exponential(size=(COUNT, MEMBERS, 2)),
        holdout_losses=draw.exponential(size=(COUNT, HOLDOUT, 2)),
    )  # fmt: skip


@pytest.mark.parametrize("number", [0, 5, 15])
def test_without_a_pair_every_record_is_still_outside_half(references: References, number: int) -> None:
    rest = without_pair(references, number)
    assert rest.trained.shape == (COUNT - 2, MEMBERS)
    assert (rest.trained.sum(axis=0) == COUNT // 2 - 1).all()
    for gone in (number, number ^ 1):
        assert not any(np.array_equal(each, references.member_losses[gone]) for each in rest.member_losses)


@pytest.mark.parametrize("known", [True, False])
def test_simulated_forget_sets_are_of_members_or_of_non_members(references: References, known: bool) -> None:
    sets = list(simulated(references, known=known, sets=20, size=10, seed=3))
    assert len(sets) == 20
    for turn, (model, forgotten) in enumerate(sets):
        number = turn % COUNT
        assert len(set(forgotten.rows.tolist())) == 10
        assert (references.trained[number, forgotten.rows] == known).all()
        assert np.array_equal(model.forget.losses, references.member_losses[number, forgotten.rows])
        kept = references.trained[number].sum() - (10 if known else 0)
        assert len(model.retained.losses) == kept


def test_without_its_offset_a_model_shows_the_means_of_the_others(
    references: References,
) -> None:
    rows = np.arange(5, 25)
    forgotten = ReferenceBaseline(references, rows)
    model = as_audited(references, 0, rows)
    moved = without_offset(model, forgotten).forget
    outside = ~references.trained[:, rows]
    for shown, before in ((moved.signals, model.forget.signals), (moved.encoder, model.forget.encoder)):
        for name in shown.keys() - {"loss"}:
            assert shown[name].mean() == pytest.approx(references.members[name][:, rows][outside].mean())
            assert np.ptp(shown[name] - before[name]) == pytest.approx(0, abs=1e-9)
    wanted = logit_confidence(references.member_losses[:, rows])[outside].mean(axis=0)
    assert logit_confidence(moved.losses).mean(axis=0) == pytest.approx(wanted)
    assert np.ptp(logit_confidence(moved.losses) - logit_confidence(model.forget.losses), axis=0).max() < 1e-9
    assert moved.signals["loss"] == pytest.approx(-moved.losses.mean(axis=1))


def judged(**changed: Any) -> Judged:
    about: dict[str, Any] = {
        "paradigm": "simclr", "seed": 0, "kind": "retrained", "outcome": "passed", "gaps": {"loss": 0.01},
        "errors": {"loss": 0.02}, "forgotten": 20, "holdout": 300, "commit": "c" * 40, "machine": "m",
    }  # fmt: skip
    return Judged.model_validate(about | changed)


def test_the_page_counts_every_kind_and_says_what_was_wanted() -> None:
    outcomes = ("passed", "passed", "inconclusive", "leaks")
    found = [judged(outcome=outcome) for outcome in outcomes]
    found += [judged(kind="never_trained", outcome="over_forgotten", gaps={"loss": -0.2})]
    page = render(found)
    wanted = "| simclr | retrained, 4 | passed or inconclusive | 0.750 [0.194, 0.994] | at least .95 | passed 2, inconc"
    assert wanted in page
    assert (
        "| simclr | never_trained, 1 | false alarms | 1.000 [0.025, 1.000] | at most .05 | over_forgotten 1 |" in page
    )
    assert "| simclr | never_trained | -0.200 |" in page


def test_measured_errors_are_means_of_what_was_retrained() -> None:
    """Half of a 90 % interval is 1.645 standard errors."""
    found = [judged(errors={"loss": 0.01645}), judged(errors={"loss": 0.0329}), judged(kind="untouched")]
    found += [judged(paradigm="supervised", errors={"loss": 0.1645})]
    (errors,) = measured_errors(found).values()
    assert errors == pytest.approx([0.015, 0.1], rel=1e-3)
    assert list(measured_errors(found)) == [20]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    """One that is trained for a moment, with its references."""
    short = recipes.load("digits-simclr", SHORT)
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("UNLEARNING_HOME", str(tmp_path_factory.mktemp("home")))
        changed.setattr(audit, "scaled", lambda name: short)
        optimisation = audit.OVERDONE.optimisation.model_copy(update={"epochs": 2})
        changed.setattr(audit, "OVERDONE", audit.OVERDONE.model_copy(update={"optimisation": optimisation}))
        made = Original(paradigm="simclr", seed=0)
        make_references(made)
        yield made


@pytest.mark.slow
def test_an_original_and_its_references_are_made_once(original: Original, monkeypatch: pytest.MonkeyPatch) -> None:
    def again(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(audit, "train", again)
    monkeypatch.setattr("benchmarks.workbench.train", again)
    make_references(original)
    with pytest.raises(AssertionError, match="trained again"):
        make_references(Original(paradigm="simclr", seed=1))


@pytest.mark.slow
def test_another_recipe_has_another_original(original: Original, monkeypatch: pytest.MonkeyPatch) -> None:
    before = original.folder()
    longer = recipes.load("digits-simclr", SHORT.replace("epochs: 2", "epochs: 3"))
    monkeypatch.setattr(audit, "scaled", lambda name: longer)
    assert original.folder() != before


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_judged_as_often_as_was_asked(original: Original, kind: str) -> None:
    found = validate(AuditJob(original=original, kind=kind, simulated=2, repeats=1))
    expected = {"never_trained": 2, "untouched": 1 + 2}.get(kind, 1)
    assert [(each.kind, each.paradigm, each.seed) for each in found] == [(kind, "simclr", 0)] * expected
    assert {each.forgotten for each in found} == {20}
    assert all(set(each.gaps) >= {"lira_online", "combined_forget"} for each in found)


@pytest.mark.slow
def test_a_model_is_judged_the_same_twice(original: Original) -> None:
    job = AuditJob(original=original, kind="over_forgotten", simulated=0, repeats=1)
    assert validate(job) == validate(job)
