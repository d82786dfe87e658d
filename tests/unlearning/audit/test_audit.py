from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
import torch

from unlearning.audit.attacks import expected_attacks
from unlearning.audit.attacks.lira import SMALLEST_SPREAD, logit_confidence
from unlearning.audit.attacks.referenced import normal_scores
from unlearning.audit.attacks.two_versions import two_versions
from unlearning.audit.audit import (
    FEWEST_RETAINED,
    HISTOGRAM_BINS,
    audit,
    forgotten_of,
    measure_like_references,
    measure_model,
    sampled,
    shown_by_original,
)
from unlearning.audit.record_p_values import per_record
from unlearning.audit.reference_baseline import ReferenceBaseline, attack_model
from unlearning.audit.results import Audit, Interval
from unlearning.audit.signals import SIGNALS, SignalConfig, measure, measure_signals
from unlearning.audit.statistics import auc_difference
from unlearning.audit.verdict import VerdictConfig, decide
from unlearning.core.seeding import derive
from unlearning.data.forget_set import ForgetSet
from unlearning.data.records import Records, concatenate
from unlearning.data.splits import Split
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.paradigms.supervised import Supervised

BuildModel = Callable[..., Model]
MakeRecords = Callable[..., Records]
Array = npt.NDArray[np.float64]
CONFIG = SignalConfig(queries=2, batch_size=64)
GROUPS = ("forget", "holdout", "retained")
DIGESTS = {"original": "0" * 64, "candidate": "1" * 64, "retrained": "2" * 64}


def slow_auc(members: Array, non_members: Array) -> float:
    return float(np.mean([[(m > s) + (m == s) / 2 for s in non_members] for m in members]))


class Case:
    """A model that memorised its members, one not trained on any, and the three groups."""

    def __init__(self, toy: Any, non_member: Model) -> None:
        self.paradigm: Paradigm = toy.paradigm
        self.memorised: Model = toy.model
        self.non_member = non_member
        self.groups = {"forget": toy.members[:20], "retained": toy.members[20:], "holdout": toy.strangers[:30]}

    def audit(self, original: Model, candidate: Model, retrained: Model, **changed: Any) -> Audit:
        models = {"original": original, "candidate": candidate, "retrained": retrained}
        options: dict[str, Any] = {"seed": 3, "config": CONFIG, "split": "s" * 64, "forget_digest": "f" * 64}
        return audit(
            {name: (DIGESTS[name], model) for name, model in models.items()},
            self.paradigm,
            **(options | self.groups | changed),
        )


@pytest.fixture
def case(memorised: Callable[[str, int], Any], build_model: BuildModel) -> Case:
    toy = memorised("supervised", 0)
    return Case(toy, build_model(toy.paradigm, 99, hidden=(64,)).eval())


@pytest.mark.parametrize("sizes", [(5, 4, 3), (1, 6, 2)])
def test_every_signal_comes_back_in_the_group_of_its_record(
    supervised: Supervised, build_model: BuildModel, noise: MakeRecords, sizes: tuple[int, int, int]
) -> None:
    """Without augmentation a supervised model's signals do not depend on the other records of the batch."""
    model = build_model(supervised).eval()
    groups = {name: noise(size, seed) for seed, (name, size) in enumerate(zip(GROUPS, sizes, strict=True))}
    measured = measure_model(model, supervised, **groups, config=CONFIG, seed=0).signals
    for name, records in groups.items():
        alone = measure_signals(model, supervised, records, CONFIG, seed=1)
        found = getattr(measured, name)
        assert tuple(found) == SIGNALS
        for signal in SIGNALS:
            np.testing.assert_allclose(found[signal], alone[signal], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("others", "kept"), [(30, FEWEST_RETAINED), (600, 600), (5000, 700)])
def test_of_many_retained_members_as_many_are_audited_as_there_are_others(
    noise: MakeRecords, others: int, kept: int
) -> None:
    records = noise(700)
    records = Records(records.images, torch.arange(700))
    first, again, other = (sampled(records, others, seed).labels.tolist() for seed in (1, 1, 2))
    assert len(first) == len(set(first)) == kept
    assert first == again == sorted(first)
    assert (first == other) == (kept == 700)


def test_the_original_shows_what_was_measured_with_its_references(synthetic: Callable[..., Any]) -> None:
    """It is not looked at again, and its rows are those of its records."""
    world = synthetic(members=20, holdout=12, count=8, seed=3)
    whole = world.measured(np.arange(32) < 20)
    rows = np.asarray([7, 2, 11])
    assert shown_by_original(ReferenceBaseline(world.references, rows)) is None
    known = replace(world.references, original=whole)
    found = shown_by_original(ReferenceBaseline(known, rows))
    assert found is not None
    others = np.asarray([row for row in range(20) if row not in (7, 2, 11)])
    for shown, wanted in ((found.forget, rows), (found.holdout, np.arange(20, 32)), (found.retained, others)):
        assert np.array_equal(shown.losses, whole.losses[wanted])
        assert np.array_equal(shown.signals["gradient_norm"], whole.signals["gradient_norm"][wanted])
        assert np.array_equal(shown.encoder["spread"], whole.encoder["spread"][wanted])


def test_a_candidate_that_is_the_retrained_model_differs_by_exactly_nothing(case: Case) -> None:
    found = case.audit(case.memorised, case.non_member, case.non_member.clone())
    assert [each.attack for each in found.comparisons] == list(expected_attacks(0))
    assert {each.difference for each in found.comparisons} == {Interval(estimate=0, low=0, high=0, level=0.9)}
    assert found.models["candidate"].attacks == found.models["retrained"].attacks


def test_a_model_that_learned_the_forget_set_by_heart_leaks(case: Case) -> None:
    found = case.audit(case.memorised, case.memorised.clone(), case.non_member)
    attacks = {each.name: each for each in found.models["original"].attacks}
    assert list(attacks) == list(expected_attacks(0))
    assert attacks["loss"].auc.estimate > 0.8
    assert attacks["combined_retained"].auc.estimate > 0.75
    assert found.models["original"].retained_auc.estimate > 0.8
    innocent = {each.name: each for each in found.models["retrained"].attacks}
    assert abs(innocent["loss"].auc.estimate - 0.5) < 0.3
    useful = {name: Interval(estimate=0, low=0, high=0, level=0.9) for name in ("knn", "linear_probe")}
    assert decide(found, useful, VerdictConfig()).outcome == "leaks"


def test_comparisons_are_the_candidate_minus_the_retrained_model_whatever_the_original(case: Case) -> None:
    there = case.audit(case.memorised, case.memorised, case.non_member)
    back = case.audit(case.memorised, case.non_member, case.memorised)
    for one, other in zip(there.comparisons, back.comparisons, strict=True):
        aucs = [
            next(each.auc.estimate for each in there.models[name].attacks if each.name == one.attack)
            for name in ("candidate", "retrained")
        ]
        assert one.difference.estimate == pytest.approx(aucs[0] - aucs[1])
        assert one.difference.level == 0.9
        assert other.difference.estimate == -one.difference.estimate
        assert (other.difference.low, other.difference.high) == (-one.difference.high, -one.difference.low)


def test_the_numbers_are_those_of_the_measured_signals_paired_by_record(case: Case) -> None:
    found = case.audit(case.memorised, case.non_member, case.memorised)
    scores = {}
    for name, model in (("original", case.memorised), ("candidate", case.non_member)):
        shown = measure_model(model, case.paradigm, **case.groups, config=CONFIG, seed=3)
        signals, scores[name] = shown.signals, attack_model(shown, None, 3)
        result = found.models[name]
        for attack in result.attacks:
            forget, holdout = scores[name][attack.name].pair
            assert attack.auc.estimate == pytest.approx(slow_auc(forget, holdout))
            assert attack.auc.level == attack.tpr_at_1_fpr.level == 0.95
            # One percent of 30 non-members is none: members above every non-member.
            assert attack.tpr_at_1_fpr.estimate == (forget > holdout.max()).mean()
        retained = slow_auc(np.asarray(signals.retained["loss"]), np.asarray(signals.holdout["loss"]))
        assert result.retained_auc.estimate == pytest.approx(retained)
    for each in found.comparisons:  # the retrained model is the original here
        pairs = [scores[name][each.attack].pair for name in ("candidate", "original")]
        factor = scores["candidate"][each.attack].error_factor
        assert each.difference == auc_difference(pairs[0], pairs[1], error_factor=factor)


def test_who_stays_is_told_of_every_model_beside_the_original(case: Case) -> None:
    found = case.audit(case.memorised, case.non_member, case.memorised.clone())
    shown = {
        name: measure_model(model, case.paradigm, **case.groups, config=CONFIG, seed=3).signals
        for name, model in (("original", case.memorised), ("candidate", case.non_member))
    }
    seed = derive(3, "two versions")
    assert found.models["original"].two_versions is None
    assert found.models["candidate"].two_versions == two_versions(shown["original"], shown["candidate"], seed)
    assert found.models["retrained"].two_versions == two_versions(shown["original"], shown["original"], seed)


def test_audits_from_before_who_stays_was_asked_are_read(case: Case) -> None:
    found = case.audit(case.memorised, case.non_member, case.non_member)
    written = found.model_dump(mode="json")
    for model in written["models"].values():
        del model["two_versions"]
    read = Audit.model_validate(written)
    assert {each.two_versions for each in read.models.values()} == {None}
    assert read.comparisons == found.comparisons


def test_the_audit_says_what_it_is_about(case: Case) -> None:
    found = case.audit(case.memorised, case.non_member, case.non_member)
    assert found.records == {"forget": 20, "holdout": 30, "retained": 28}
    assert (found.seed, found.split, found.forget) == (3, "s" * 64, "f" * 64)
    assert {name: each.model for name, each in found.models.items()} == DIGESTS


def test_histograms_count_every_record_once_over_shared_bins(case: Case) -> None:
    found = case.audit(case.memorised, case.non_member, case.non_member).models["original"]
    signals = measure_model(case.memorised, case.paradigm, **case.groups, config=CONFIG, seed=3).signals
    assert [each.name for each in found.signals] == list(SIGNALS)
    for histogram in found.signals:
        edges = histogram.edges
        assert len(edges) == HISTOGRAM_BINS + 1
        for group in GROUPS:
            values = getattr(signals, group)[histogram.name]
            counts = [sum(low <= value < high for value in values) for low, high in itertools.pairwise(edges)]
            counts[-1] += sum(value == edges[-1] for value in values)
            assert list(getattr(histogram, group)) == counts
            assert sum(counts) == len(values)
            assert getattr(histogram, f"mean_{group}") == pytest.approx(sum(values) / len(values))


def test_the_same_seed_gives_the_same_audit_and_another_does_not(case: Case) -> None:
    first, again, other = (case.audit(case.memorised, case.non_member, case.memorised, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.models != other.models


def test_the_audit_survives_json(case: Case) -> None:
    found = case.audit(case.memorised, case.non_member, case.non_member)
    assert Audit.model_validate_json(found.model_dump_json()) == found


def test_a_single_forgotten_record_is_too_few_to_tell(case: Case) -> None:
    found = case.audit(case.memorised, case.memorised, case.non_member, forget=case.groups["forget"][:1])
    assert {(each.difference.low, each.difference.high) for each in found.comparisons} == {(-1.0, 1.0)}
    useful = {name: Interval(estimate=0, low=0, high=0, level=0.9) for name in ("knn", "linear_probe")}
    assert decide(found, useful, VerdictConfig()).outcome == "inconclusive"


def test_with_nothing_to_compare_with_there_is_no_audit(case: Case) -> None:
    with pytest.raises(ValueError, match="neither a retrained model nor references"):
        audit(
            {"original": ("0", case.memorised), "candidate": ("1", case.memorised)},
            case.paradigm,
            **case.groups,
            config=CONFIG,
            seed=0,
            split="",
            forget_digest="",
        )


def test_with_references_every_record_is_shown_the_views_the_references_saw(
    case: Case, synthetic: Callable[..., Any]
) -> None:
    world = synthetic(members=48, holdout=30, count=8, seed=0)
    rows = np.random.default_rng(0).permutation(48)[:20]
    kept = np.setdiff1d(np.arange(48), rows)
    members = concatenate(case.groups["forget"], case.groups["retained"])
    groups = {
        "forget": members[torch.from_numpy(rows)],
        "retained": members[torch.from_numpy(kept)],
        "holdout": case.groups["holdout"],
    }
    forgotten = ReferenceBaseline(world.references, rows)
    found = measure_like_references(case.memorised, case.paradigm, **groups, forgotten=forgotten)
    manifest = world.references.manifest
    whole = measure(
        case.memorised, case.paradigm, concatenate(members, groups["holdout"]), manifest.signals, seed=manifest.seed
    )
    for group, places in (("forget", rows), ("retained", kept), ("holdout", np.arange(48, 78))):
        assert np.array_equal(getattr(found, group).losses, whole.losses[places]), group
        assert np.array_equal(getattr(found, group).signals["loss"], whole.signals["loss"][places]), group


def test_every_record_is_held_against_references_by_its_place_among_each_models_own_holdout(
    case: Case, synthetic: Callable[..., Any]
) -> None:
    """The p-values of every model, one record and one reference at a time."""
    world = synthetic(members=48, holdout=30, count=8, seed=0)
    rows = np.random.default_rng(1).permutation(48)[:20]
    members = concatenate(case.groups["forget"], case.groups["retained"])
    groups = {
        "forget": members[torch.from_numpy(rows)],
        "retained": members[torch.from_numpy(np.setdiff1d(np.arange(48), rows))],
        "holdout": case.groups["holdout"],
    }
    forgotten = ReferenceBaseline(world.references, rows)
    models = {"original": ("0" * 64, case.memorised), "candidate": ("1" * 64, case.memorised)}
    made = audit(
        models, case.paradigm, **groups, config=CONFIG, seed=0, split="s", forget_digest="f", forgotten=forgotten
    )
    shown = measure_like_references(case.memorised, case.paradigm, **groups, forgotten=forgotten)

    def score(losses: Any, holdout: Any) -> float:
        own = float(logit_confidence(losses[None]).mean())
        among = [float(logit_confidence(each[None]).mean()) for each in holdout]
        return float(normal_scores(np.array([[own]]), np.array([[each] for each in among]))[0, 0])

    def p_of(own: Any, others: list[tuple[bool, Any, Any]]) -> float:
        seen = [score(losses, holdout) for trained, losses, holdout in others if not trained]
        spread = max(float(np.std(seen, ddof=1)), SMALLEST_SPREAD)
        distance = (score(own, shown.holdout.losses) - np.mean(seen)) / (spread * np.sqrt(1 + 1 / len(seen)))
        return float(scipy.stats.t.sf(distance, len(seen) - 1))

    references = world.references
    held, trained = references.holdout_losses, references.trained
    forget = [
        p_of(
            shown.forget.losses[place],
            [(bool(trained[each, row]), references.member_losses[each, row], held[each]) for each in range(8)],
        )
        for place, row in enumerate(rows)
    ]
    masks = forgotten.left_out
    holdout = [
        p_of(
            shown.holdout.losses[place],
            [(bool(masks[each, place]), held[each, place], held[each]) for each in range(8)],
        )
        for place in range(30)
    ]
    expected = per_record(np.array(forget), np.array(holdout))
    for name in models:
        found = made.models[name].per_record
        assert found is not None
        assert found.suspicious == expected.suspicious
        assert found.pooled == pytest.approx(expected.pooled)
        assert found.towards_members == expected.towards_members


def test_without_a_file_of_references_nothing_is_held_against_any() -> None:
    split = Split(snapshot="s" * 64, seed=0, members=("a",), calibration=(), holdout=(), test=())
    assert forgotten_of(None, "0" * 64, split, ForgetSet(kind="random", split=split.digest, ids=("a",))) is None
