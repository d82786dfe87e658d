from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from unlearning.audit.power import detectable_auc, equivalence_power, power_at

SIZES = [(30, 30), (60, 200), (500, 60)]
MODELLING = 0.02
"""How far the power on normal scores may be from that of Hanley & McNeil's exponential ones, beside rounding to
a normal distribution: at most 0.011 in 4,000 simulations of each of 12 designs."""


def slow_variance(auc: float, members: int, non_members: int) -> float:
    """Hanley & McNeil 1982 in their words: two random abnormal records both above a normal one, and one abnormal
    above two normal ones."""
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    within = auc * (1 - auc)
    abnormal, normal = (members - 1) * (q1 - auc * auc), (non_members - 1) * (q2 - auc * auc)
    return (within + abnormal + normal) / (members * non_members)


def exponential_areas(auc: float, members: int, non_members: int, draws: int) -> list[float]:
    """Areas of exponential scores with the given true area, a rate ratio of AUC / (1 − AUC)."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        ours = draw.exponential(auc / (1 - auc), members)
        theirs = np.sort(draw.exponential(1, non_members))
        found.append(float(np.searchsorted(theirs, ours).mean() / non_members))
    return found


@pytest.mark.parametrize(("members", "non_members"), [*SIZES, (60, 500)])
def test_the_variance_is_that_of_exponential_scores(members: int, non_members: int) -> None:
    """Exact for them, which tells members and non-members apart. The error of a variance of 4,000 areas is 2.2 %."""
    areas = exponential_areas(0.8, members, non_members, 4000)
    assert abs(float(np.mean(areas)) - 0.8) < 4 * float(np.std(areas)) / math.sqrt(4000)
    assert float(np.var(areas)) == pytest.approx(slow_variance(0.8, members, non_members), rel=0.1)


@given(st.floats(0.5, 0.999), st.integers(2, 3000), st.integers(2, 3000), st.floats(0.001, 0.3))
def test_the_power_is_that_of_the_formula(auc: float, members: int, non_members: int, alpha: float) -> None:
    null = math.sqrt((members + non_members + 1) / (12 * members * non_members))
    threshold = 0.5 + stats.norm.isf(alpha) * null
    expected = stats.norm.sf(threshold, loc=auc, scale=math.sqrt(slow_variance(auc, members, non_members)))
    assert power_at(auc, members, non_members, alpha=alpha) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
@pytest.mark.parametrize(("members", "non_members"), SIZES)
def test_normal_scores_are_found_as_often_as_it_says(members: int, non_members: int, power: float) -> None:
    draw, draws = np.random.default_rng(1), 2000
    shift = math.sqrt(2) * stats.norm.ppf(detectable_auc(members, non_members, power=power))
    scores = np.concatenate([draw.normal(shift, 1, (draws, members)), draw.normal(size=(draws, non_members))], axis=1)
    ranks = stats.rankdata(scores, axis=1)[:, :members].sum(axis=1)
    areas = (ranks - members * (members + 1) / 2) / (members * non_members)
    threshold = 0.5 + 1.6448536 * math.sqrt((members + non_members + 1) / (12 * members * non_members))
    share = float((areas > threshold).mean())
    assert abs(share - power) < MODELLING + 3 * math.sqrt(power * (1 - power) / draws)


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.001, 0.3))
def test_without_a_leak_the_power_is_the_chance_of_a_false_alarm(members: int, non_members: int, alpha: float) -> None:
    assert power_at(0.5, members, non_members, alpha=alpha) == pytest.approx(alpha)


@given(st.integers(20, 3000), st.integers(20, 3000), st.floats(0.35, 0.99), st.floats(0.001, 0.3))
def test_the_detectable_area_has_the_power_asked_for(
    members: int, non_members: int, power: float, alpha: float
) -> None:
    found = detectable_auc(members, non_members, power=power, alpha=alpha)
    assert 0.5 < found < 1
    assert power_at(found, members, non_members, alpha=alpha) == pytest.approx(power, abs=1e-6)


@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 500))
def test_more_records_see_smaller_leaks(members: int, non_members: int, more: int) -> None:
    found = detectable_auc(members, non_members)
    assert detectable_auc(members + more, non_members) <= found
    assert detectable_auc(members, non_members + more) <= found


@given(st.floats(0.3, 0.9), st.floats(0.3, 0.9))
def test_more_power_asks_for_a_larger_leak(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert detectable_auc(60, 80, power=low, alpha=0.01) <= detectable_auc(60, 80, power=high, alpha=0.01)


def test_limits_of_the_detectable_area() -> None:
    assert [detectable_auc(1, 1), detectable_auc(2, 2), detectable_auc(1, 5, alpha=0.001)] == [1, 1, 1]
    assert detectable_auc(10**7, 10**7) == pytest.approx(0.5, abs=1e-3)
    assert [detectable_auc(50, 50, power=power) for power in (0.05, 0.02)] == [0.5, 0.5]


@given(st.integers(100, 5000))
def test_near_one_half_it_is_the_textbook_gap(records: int) -> None:
    """The variance hardly changes there: (z_α + z_power) times the error without a leak."""
    error = math.sqrt((2 * records + 1) / (12 * records**2))
    assert detectable_auc(records, records) - 0.5 == pytest.approx((1.6448536 + 0.8416212) * error, rel=0.03)


@pytest.mark.parametrize(("error", "margin"), [(0.02, 0.1), (0.04, 0.1), (0.055, 0.1), (0.0607, 0.1)])
@pytest.mark.parametrize("gap", [0.0, 0.03, -0.08, 0.1, 0.2])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_equivalence_is_found_as_often_as_it_says(error: float, margin: float, gap: float, alpha: float) -> None:
    draws = 40_000
    estimates = np.random.default_rng(2).normal(gap, error, draws)
    reach = stats.norm.ppf(1 - alpha) * error
    inside = float(((estimates - reach > -margin) & (estimates + reach < margin)).mean())
    found = equivalence_power(error, margin, gap=gap, alpha=alpha)
    assert abs(inside - found) <= 4 * math.sqrt(max(found * (1 - found), 1e-4) / draws)


@given(st.floats(0.001, 0.2), st.floats(0.01, 0.4), st.floats(0, 0.5))
def test_equivalence_has_no_side_and_is_easiest_without_a_gap(error: float, margin: float, gap: float) -> None:
    found = equivalence_power(error, margin, gap=gap)
    assert found == pytest.approx(equivalence_power(error, margin, gap=-gap))
    assert 0 <= found <= equivalence_power(error, margin) + 1e-12


@given(st.floats(0.0005, 0.2), st.floats(0.01, 0.4), st.floats(0.01, 0.2))
def test_a_gap_beyond_the_margin_passes_at_most_as_often_as_alpha(error: float, margin: float, alpha: float) -> None:
    assert equivalence_power(error, margin, gap=margin, alpha=alpha) <= alpha + 1e-12
    assert equivalence_power(error, margin, gap=margin + 0.1, alpha=alpha) <= alpha


@pytest.mark.parametrize("power", [0.5, 0.8, 0.99])
def test_equivalence_without_a_gap_has_its_textbook_inverse(power: float) -> None:
    """Schuirmann 1987: margin = (z_α + z_{(1 + power) / 2}) · SE."""
    margin = (stats.norm.ppf(0.95) + stats.norm.ppf((1 + power) / 2)) * 0.03
    assert equivalence_power(0.03, margin) == pytest.approx(power)


def test_limits_of_equivalence() -> None:
    assert equivalence_power(0.1 / stats.norm.ppf(0.95) * 1.001, 0.1) == 0
    assert equivalence_power(math.inf, 0.1) == 0
    assert equivalence_power(1e-9, 0.1, gap=0.099) == 1
    assert [equivalence_power(0.0, 0.1, gap=gap) for gap in (0.0, -0.09, 0.1, 0.2)] == [1, 1, 0, 0]
