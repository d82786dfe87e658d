from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from unlearning.audit.attacks.base import MembershipScores
from unlearning.audit.attacks.lira_encoder import (
    CLOSEST,
    ReferencedFeatures,
    direction,
    fisher_z,
    lira_encoder,
    statistics_of,
)
from unlearning.audit.references.training import halves
from unlearning.audit.signals import ENCODER_SIGNALS
from unlearning.audit.statistics import auc_interval

Array = npt.NDArray[np.float64]
EFFECT = np.array([0.9, 0.0, -0.6])
"""Of training, on three statistics."""
MIXING = np.array([[1.0, 0.0, 0.0], [0.7, 0.7, 0.0], [-0.3, 0.2, 0.9]])
"""Correlates their noise."""


@dataclass(frozen=True)
class World:
    """Records of a level each, references, and the model under attack, which shows `left` times the effect."""

    shown: ReferencedFeatures
    levels: Array
    """(M, S), of the members."""


def simulate(seed: int, left: float, *, members: int = 120, forgotten: int = 50, holdout: int = 60) -> World:
    draw = np.random.default_rng(seed)
    trained, left_out = halves(members, 12, seed), halves(holdout, 12, seed + 1)
    levels = draw.normal(0, 4, (members + holdout, 3))

    def model(known: Array) -> Array:
        effect = np.append(known, np.zeros(holdout))[:, None] * EFFECT
        return np.asarray(levels + effect + draw.normal(size=levels.shape) @ MIXING.T)

    references = np.stack([model(mask.astype(float)) for mask in trained])
    rows = draw.permutation(members)[:forgotten]
    known = np.ones(members)
    known[rows] = left
    target = model(known)
    shown = ReferencedFeatures(
        forget=target[:members][rows],
        holdout=target[members:],
        reference_members=references[:, :members],
        reference_holdout=references[:, members:],
        trained=trained,
        rows=rows,
        left_out=left_out,
    )
    return World(shown, levels[:members])


def area(scores: MembershipScores) -> float:
    return auc_interval(*scores.pair, error_factor=scores.error_factor).estimate


def areas(left: float, change: Callable[[ReferencedFeatures], ReferencedFeatures] = lambda each: each) -> list[float]:
    return [area(lira_encoder(change(simulate(seed, left).shown))) for seed in range(40)]


def error_of(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


# The formula, record by record.


def slow_means(values: list[Array]) -> Array:
    return np.array([fmean(float(each[column]) for each in values) for column in range(len(values[0]))])


def slow_scores(shown: ReferencedFeatures) -> tuple[list[float], list[float]]:
    """Log ratios of two normal densities, with centres, effect and covariance by loops."""
    effects, deviations = [], []
    for member in range(shown.trained.shape[1]):
        sides = {
            side: [shown.reference_members[k, member] for k in range(12) if bool(shown.trained[k, member]) == side]
            for side in (True, False)
        }
        effects.append(slow_means(sides[True]) - slow_means(sides[False]))
        for values in sides.values():
            deviations += [value - slow_means(values) for value in values]
    effect, count = slow_means(effects), len(deviations)
    covariance = sum(np.outer(each, each) for each in deviations) / count
    without = stats.multivariate_normal(np.zeros(3), covariance)
    with_it = stats.multivariate_normal(effect, covariance)

    def ratio(value: Array, outside: list[Array]) -> float:
        distance = value - slow_means(outside)
        return float(with_it.logpdf(distance) - without.logpdf(distance))

    forget = [
        ratio(shown.forget[place], [shown.reference_members[k, row] for k in range(12) if not shown.trained[k, row]])
        for place, row in enumerate(shown.rows)
    ]
    holdout = [
        ratio(shown.holdout[row], [shown.reference_holdout[k, row] for k in range(12) if not shown.left_out[k, row]])
        for row in range(len(shown.holdout))
    ]
    return forget, holdout


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_the_log_ratios_of_two_normal_densities_but_for_a_constant(seed: int) -> None:
    shown = simulate(seed, 1.0).shown
    found, expected = lira_encoder(shown), slow_scores(shown)
    constants = np.concatenate([found.forget - expected[0], found.holdout - expected[1]])
    np.testing.assert_allclose(constants, constants[0], rtol=0, atol=1e-9)


# Known answers.


def test_with_nothing_left_the_area_is_one_half() -> None:
    values = areas(0.0)
    assert error_of(values) < 0.012
    assert abs(fmean(values) - 0.5) < 4 * error_of(values)


def test_what_is_left_is_found_as_often_as_the_best_test_would_that_knows_the_centres_from_six_references() -> None:
    """x − μ_out of six references has 7/6 of the variance, so that the area is Φ(d / √(2 · 7/6))."""
    covariance = MIXING @ MIXING.T
    distance = math.sqrt(EFFECT @ np.linalg.solve(covariance, EFFECT))
    values = areas(1.0)
    # The direction is learned from twelve references and costs next to nothing.
    expected = float(stats.norm.cdf(distance / math.sqrt(2 * 7 / 6)))
    assert abs(fmean(values) - expected) < 0.01 + 4 * error_of(values)
    assert expected > 0.75


def test_over_forgotten_records_read_low() -> None:
    assert fmean(areas(-1.0)) < 0.25


def test_a_record_that_is_easy_for_every_model_is_taken_for_no_member() -> None:
    """A threshold on the statistic itself sees levels that have nothing to do with training."""
    for seed in range(5):
        world = simulate(seed, 0.0)
        levels = world.levels[world.shown.rows] @ EFFECT
        assert abs(np.corrcoef(lira_encoder(world.shown).forget, levels)[0, 1]) < 0.35
        assert np.corrcoef(world.shown.forget @ EFFECT, levels)[0, 1] > 0.9


def test_intervals_hold_one_half_as_often_as_they_say() -> None:
    held = 0
    for seed in range(300):
        interval = auc_interval(*lira_encoder(simulate(seed, 0.0, members=60, forgotten=30, holdout=40).shown).pair)
        held += interval.low <= 0.5 <= interval.high
    # 95 % wanted; 3 standard errors of 300 runs are 3.8 points.
    assert 0.912 < held / 300 < 0.988


# What must not matter, and what must.


def changed(shown: ReferencedFeatures, by: Callable[[Array], Array]) -> ReferencedFeatures:
    return replace(
        shown,
        forget=by(shown.forget),
        holdout=by(shown.holdout),
        reference_members=by(shown.reference_members),
        reference_holdout=by(shown.reference_holdout),
    )


def assert_same(found: MembershipScores, expected: MembershipScores) -> None:
    np.testing.assert_allclose(found.forget, expected.forget, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.holdout, expected.holdout, rtol=1e-6, atol=1e-8)


def test_units_and_mixtures_of_the_statistics_do_not_matter() -> None:
    shown = simulate(0, 1.0).shown
    mixture = np.array([[7.0, 1.0, 0.0], [0.0, -0.2, 3.0], [1.0, 0.0, 0.5]])
    assert_same(lira_encoder(changed(shown, lambda values: values @ mixture + 11)), lira_encoder(shown))


def test_what_every_model_shows_of_a_record_does_not_matter() -> None:
    shown = simulate(0, 1.0).shown
    draw = np.random.default_rng(5)
    members, holdout = draw.normal(0, 50, (120, 3)), draw.normal(0, 50, (60, 3))
    moved = replace(
        shown,
        forget=shown.forget + members[shown.rows],
        holdout=shown.holdout + holdout,
        reference_members=shown.reference_members + members,
        reference_holdout=shown.reference_holdout + holdout,
    )
    assert_same(lira_encoder(moved), lira_encoder(shown))


def test_a_model_that_shows_more_of_everything_has_the_same_area() -> None:
    shown = simulate(0, 1.0).shown
    surer = replace(shown, forget=shown.forget + 3.0, holdout=shown.holdout + 3.0)
    assert area(lira_encoder(surer)) == area(lira_encoder(shown))


def test_the_order_of_references_and_records_does_not_matter() -> None:
    shown = simulate(0, 1.0).shown
    draw = np.random.default_rng(5)
    references, members, holdout = draw.permutation(12), draw.permutation(120), draw.permutation(60)
    turned = ReferencedFeatures(
        forget=shown.forget,
        holdout=shown.holdout[holdout],
        reference_members=shown.reference_members[references][:, members],
        reference_holdout=shown.reference_holdout[references][:, holdout],
        trained=shown.trained[references][:, members],
        rows=np.argsort(members)[shown.rows],
        left_out=shown.left_out[references][:, holdout],
    )
    expected = lira_encoder(shown)
    assert_same(lira_encoder(turned), MembershipScores(expected.forget, expected.holdout[holdout]))


def test_exchanging_who_was_trained_turns_the_direction_round() -> None:
    shown = simulate(0, 1.0).shown
    there = direction(shown.reference_members, shown.trained)
    np.testing.assert_allclose(direction(shown.reference_members, ~shown.trained), -there, rtol=1e-10)


def test_a_statistic_that_never_varies_neither_helps_nor_hurts() -> None:
    """Of an encoder whose views are all alike the similarity is 1, whatever it was trained on."""
    shown = simulate(0, 1.0).shown

    def with_constant(values: Array) -> Array:
        return np.concatenate([values, np.full((*values.shape[:-1], 1), 0.1)], axis=-1)

    assert_same(lira_encoder(changed(shown, with_constant)), lira_encoder(shown))


def test_where_nothing_varies_all_records_tie() -> None:
    """A mean that is off by a rounding, otherwise on records than on others, would be an attack with an area of .75."""
    shown = changed(simulate(0, 1.0).shown, lambda values: np.full_like(values, fisher_z(np.array(1.0))))
    scores = lira_encoder(shown)
    assert set(scores.forget) | set(scores.holdout) == {0.0}
    assert area(scores) == 0.5


# The statistics.


@given(st.floats(-1, 1))
def test_fishers_z_is_half_the_logarithm_of_odds(similarity: float) -> None:
    kept = min(max(similarity, CLOSEST - 1), 1 - CLOSEST)
    found = float(fisher_z(np.array(similarity)))
    assert found == pytest.approx(math.log((1 + kept) / (1 - kept)) / 2, rel=1e-9, abs=1e-12)
    assert float(fisher_z(np.array(-similarity))) == -found


def test_fishers_z_is_finite_at_the_ends_and_ties_what_rounding_puts_apart() -> None:
    found = fisher_z(np.array([1.0, 1 + 1e-6, 1 - 1e-6, -1.0]))
    assert np.isfinite(found).all()
    assert found[0] == found[1] == found[2] == -found[3]


def test_the_similarity_alone_is_put_on_that_scale() -> None:
    draw = np.random.default_rng(0)
    encoder = {name: draw.uniform(-0.9, 0.9, (4, 7)) for name in ENCODER_SIGNALS}
    found = statistics_of(dict(reversed(encoder.items())))
    assert found.shape == (4, 7, len(ENCODER_SIGNALS))
    for place, name in enumerate(ENCODER_SIGNALS):
        expected = np.arctanh(encoder[name]) if name == "encoder_similarity" else encoder[name]
        np.testing.assert_allclose(found[..., place], expected)


# Errors.


def test_a_record_that_every_reference_was_trained_on_cannot_be_judged() -> None:
    shown = simulate(0, 1.0).shown
    trained = shown.trained.copy()
    trained[:, shown.rows[0]] = True
    with pytest.raises(ValueError, match="1 records have no reference to be compared with"):
        lira_encoder(replace(shown, trained=trained))


@pytest.mark.parametrize("everybody", [True, False])
def test_references_on_one_side_alone_tell_no_direction(everybody: bool) -> None:
    shown = simulate(0, 1.0).shown
    with pytest.raises(ValueError, match="no record has references trained on it and others"):
        direction(shown.reference_members, np.full_like(shown.trained, everybody))


def test_a_direction_comes_from_the_records_that_have_both_sides() -> None:
    shown = simulate(0, 1.0).shown
    trained = shown.trained.copy()
    trained[:, :20], trained[:, 20:40] = True, False
    found = direction(shown.reference_members, trained)
    assert np.array_equal(found, direction(shown.reference_members[:, 40:], trained[:, 40:]))


@pytest.mark.parametrize("name", ["forget", "holdout", "reference_members", "reference_holdout"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_an_error(name: str, bad: float) -> None:
    shown = simulate(0, 1.0).shown
    getattr(shown, name).flat[0] = bad
    with pytest.raises(ValueError, match="finite"):
        lira_encoder(shown)
