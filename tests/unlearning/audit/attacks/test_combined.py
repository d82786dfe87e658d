from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from unlearning.audit import logistic
from unlearning.audit.attacks import Attack, AuditedSignals
from unlearning.audit.attacks import combined as module
from unlearning.audit.attacks.combined import combined_forget, combined_retained
from unlearning.audit.statistics import auc_difference

Array = npt.NDArray[np.float64]
Row = tuple[float, ...]
BOTH = pytest.mark.parametrize("attack", [combined_retained, combined_forget])
NAMES = ("a", "b", "c")


def group(draw: np.random.Generator, count: int, **shift: float) -> dict[str, Array]:
    return {name: draw.normal(shift.get(name, 0), 1, count) for name in NAMES}


def noise(seed: int, forget: int = 30, holdout: int = 30, retained: int = 40) -> AuditedSignals:
    draw = np.random.default_rng(seed)
    return AuditedSignals(group(draw, forget), group(draw, holdout), group(draw, retained))


def rows(signals: Any) -> list[Row]:
    return [tuple(row) for row in np.column_stack([signals[name] for name in sorted(signals)]).tolist()]


def area(attack: Attack, signals: AuditedSignals, seed: int = 0) -> float:
    found = attack(signals, seed)
    return float(np.mean([[(f > h) + (f == h) / 2 for h in found.holdout] for f in found.forget]))


@dataclass
class Spy:
    """What each fit was made from, and what it scored."""

    members: list[set[Row]] = field(default_factory=list)
    non_members: list[set[Row]] = field(default_factory=list)
    scored: list[list[Row]] = field(default_factory=list)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    seen = Spy()

    def fit(members: Array, non_members: Array) -> Any:
        fitted = logistic.fit(members, non_members)
        seen.members.append({tuple(row) for row in members.tolist()})
        seen.non_members.append({tuple(row) for row in non_members.tolist()})

        def scores(values: Array) -> Array:
            seen.scored.append([tuple(row) for row in values.tolist()])
            return fitted.scores(values)

        return SimpleNamespace(scores=scores)

    monkeypatch.setattr(module, "logistic", SimpleNamespace(fit=fit))
    return seen


SIZES = pytest.mark.parametrize(("forget", "holdout"), [(30, 30), (25, 43), (43, 25), (7, 30), (2, 5), (5, 2)])


@BOTH
@SIZES
def test_no_record_is_scored_by_a_fit_it_was_part_of(attack: Attack, spy: Spy, forget: int, holdout: int) -> None:
    signals = noise(0, forget, holdout)
    attack(signals, 0)
    assert len(spy.scored) == min(10, forget, holdout)
    for members, non_members, scored in zip(spy.members, spy.non_members, spy.scored, strict=True):
        assert not set(scored) & (members | non_members)
    everyone = [row for fold in spy.scored for row in fold]
    assert sorted(everyone) == sorted(rows(signals.forget) + rows(signals.holdout))


@SIZES
def test_the_retained_fit_sees_every_retained_record_and_never_the_forget_set(
    spy: Spy, forget: int, holdout: int
) -> None:
    signals = noise(0, forget, holdout)
    combined_retained(signals, 0)
    for members, non_members, scored in zip(spy.members, spy.non_members, spy.scored, strict=True):
        assert members == set(rows(signals.retained))
        assert non_members == set(rows(signals.holdout)) - set(scored)


@SIZES
def test_the_forget_fit_sees_all_but_the_fold_and_never_a_retained_record(spy: Spy, forget: int, holdout: int) -> None:
    signals = noise(0, forget, holdout)
    combined_forget(signals, 0)
    for members, non_members, scored in zip(spy.members, spy.non_members, spy.scored, strict=True):
        assert members == set(rows(signals.forget)) - set(scored)
        assert non_members == set(rows(signals.holdout)) - set(scored)


@BOTH
def test_a_classifier_that_knows_its_own_records_by_heart_gains_nothing(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_heart(members: Array, non_members: Array) -> Any:
        known = {tuple(row): 1.0 for row in members.tolist()} | {tuple(row): 0.0 for row in non_members.tolist()}
        return SimpleNamespace(scores=lambda values: np.array([known.get(tuple(row), 0.5) for row in values.tolist()]))

    monkeypatch.setattr(module, "logistic", SimpleNamespace(fit=by_heart))
    assert area(attack, noise(0)) == 0.5


@BOTH
@SIZES
def test_every_record_has_one_finite_score(attack: Attack, forget: int, holdout: int) -> None:
    found = attack(noise(3, forget, holdout), 5)
    assert found.forget.shape == (forget,)
    assert found.holdout.shape == (holdout,)
    assert all(((each > 0) & (each <= 1)).all() for each in found.pair)


@BOTH
def test_noise_gives_areas_around_one_half(attack: Attack) -> None:
    """The mean over 40 draws, within 4.5 of its own standard errors."""
    areas = [area(attack, noise(seed, 20, 30), seed) for seed in range(40)]
    error = float(np.std(areas, ddof=1)) / math.sqrt(len(areas))
    assert error < 0.03
    assert abs(np.mean(areas) - 0.5) < 4.5 * error


@BOTH
@pytest.mark.parametrize("leaking", NAMES)
def test_a_leak_in_one_signal_is_found(attack: Attack, leaking: str) -> None:
    """Φ(2 / √2) = 0.92 is all that the leaking signal itself shows."""
    areas = []
    for seed in range(3):
        draw = np.random.default_rng(seed)
        leak = {leaking: 2.0}
        areas.append(area(attack, AuditedSignals(group(draw, 40, **leak), group(draw, 40), group(draw, 60, **leak))))
    assert min(areas) > 0.75
    assert np.mean(areas) > 0.85


def test_an_over_forgotten_group_reads_low_beside_members_and_high_by_itself() -> None:
    for seed in range(3):
        draw = np.random.default_rng(seed)
        signals = AuditedSignals(group(draw, 40, a=-2), group(draw, 40), group(draw, 60, a=2))
        assert area(combined_retained, signals) < 0.25
        assert area(combined_forget, signals) > 0.75


def test_what_sets_the_forget_set_apart_but_not_the_members_is_found_by_its_own_fit_alone() -> None:
    retained, own = [], []
    for seed in range(6):
        draw = np.random.default_rng(seed)
        signals = AuditedSignals(group(draw, 40, b=3), group(draw, 40), group(draw, 200, a=3))
        retained.append(area(combined_retained, signals))
        own.append(area(combined_forget, signals))
    assert min(own) > 0.9
    assert np.mean(retained) < 0.75


def test_two_weak_signals_are_stronger_together() -> None:
    draw = np.random.default_rng(0)
    shared = {name: draw.normal(size=160) for name in ("forget", "holdout")}

    def pair(which: str, shift: float) -> dict[str, Array]:
        """Two signals that hide a small shift under the same large noise."""
        common = 3 * shared[which]
        return {"a": common + shift, "b": common + draw.normal(0, 0.1, 160)}

    signals = AuditedSignals(pair("forget", 1), pair("holdout", 0), pair("holdout", 1))
    alone = float(np.mean([[f > h for h in signals.holdout["a"]] for f in signals.forget["a"]]))
    assert alone < 0.7
    assert area(combined_forget, signals) > 0.95
    assert area(combined_retained, signals) > 0.95


@BOTH
def test_the_seed_decides_the_folds(attack: Attack) -> None:
    signals = noise(0)
    first, again, other = (attack(signals, seed) for seed in (1, 1, 2**40))
    np.testing.assert_array_equal(first.forget, again.forget)
    np.testing.assert_array_equal(first.holdout, again.holdout)
    assert not np.array_equal(np.concatenate(first.pair), np.concatenate(other.pair))


@BOTH
def test_neither_units_nor_order_of_the_signals_matter(attack: Attack) -> None:
    signals = noise(0)

    def changed(values: Any, order: str) -> dict[str, Array]:
        return {name: 1000 * values[name] - 7 for name in order}

    other = AuditedSignals(
        changed(signals.forget, "cab"), changed(signals.holdout, "bca"), changed(signals.retained, "abc")
    )
    for found, expected in zip(attack(other, 0).pair, attack(signals, 0).pair, strict=True):
        np.testing.assert_array_equal(found, expected)


@BOTH
@pytest.mark.parametrize(("forget", "holdout"), [(1, 20), (20, 1)])
def test_a_single_record_gets_scores_that_tell_nothing(attack: Attack, forget: int, holdout: int) -> None:
    found = attack(noise(0, forget, holdout), 0)
    assert [len(scores) for scores in found.pair] == [forget, holdout]
    assert not np.concatenate(found.pair).any()


@BOTH
def test_signals_that_are_all_the_same_tell_nothing(attack: Attack) -> None:
    same = [{name: np.full(count, 3.0) for name in NAMES} for count in (12, 15, 20)]
    assert area(attack, AuditedSignals(*same)) == pytest.approx(0.5, abs=0.05)


def test_intervals_of_differences_cover_zero_on_noise_as_often_as_they_say() -> None:
    """Two models that tell nothing: 90 % intervals of the paired difference must hold 0 at least nine
    times in ten, up to the binomial error of the simulation (three standard deviations). Without
    the factor for the shared fit they would hold it three times in four."""
    draws, with_factor, without = 150, 0, 0
    for seed in range(draws):
        first = combined_forget(noise(2 * seed, 60, 120, 60), seed)
        second = combined_forget(noise(2 * seed + 1, 60, 120, 60), seed)
        wide = auc_difference(first.pair, second.pair, 0.9, error_factor=first.error_factor)
        narrow = auc_difference(first.pair, second.pair, 0.9)
        with_factor += wide.low <= 0 <= wide.high
        without += narrow.low <= 0 <= narrow.high
    tolerance = 3 * math.sqrt(0.9 * 0.1 / draws)
    assert with_factor / draws >= 0.9 - tolerance
    assert without / draws < 0.9 - tolerance


def test_an_attack_fitted_on_other_records_needs_no_factor() -> None:
    assert combined_retained(noise(0), 0).error_factor == 1
    assert combined_forget(noise(0), 0).error_factor > 1
