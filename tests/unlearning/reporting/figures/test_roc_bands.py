from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from unlearning.audit.results import Roc
from unlearning.audit.statistics import ROC_POINTS, roc
from unlearning.reporting.figures.roc_bands import CLUSTERED, independent_non_members, roc_band

RATES = np.array([0.0, 0.002, 0.01, 0.05, 0.1, 0.3, 0.5, 0.9, 1.0])
DRAWS = 1500


def exact(hits: int, total: int) -> tuple[float, float]:
    """Clopper & Pearson at 97.5 % as they define it: rates at which so few, or so many, are no surprise."""
    tail = 0.0125
    grid = np.linspace(0, 1, 20_001)
    plausible = (stats.binom.cdf(hits, total, grid) >= tail) & (stats.binom.sf(hits - 1, total, grid) >= tail)
    return float(grid[plausible].min()), float(grid[plausible].max())


def slow_band(members: list[float], non_members: list[float], rate: float) -> tuple[float, float]:
    """Every threshold one by one; where its interval of the false-positive rate holds `rate`, its other one counts."""
    lows, highs = [], []
    for threshold in (math.inf, *members, *non_members):
        false = exact(sum(score >= threshold for score in non_members), len(non_members))
        true = exact(sum(score >= threshold for score in members), len(members))
        if false[0] <= rate <= false[1]:
            lows.append(true[0])
            highs.append(true[1])
    return min(lows), max(highs)


@pytest.mark.parametrize(("members", "non_members"), [(12, 15), (5, 30), (1, 4), (9, 1)])
def test_the_band_is_the_envelope_of_the_rectangles(members: int, non_members: int) -> None:
    """Without thinning, and up to the one neighbour that a horizontal step may hide."""
    draw = np.random.default_rng(members)
    ours, theirs = draw.normal(0.7, 1, members), draw.normal(size=non_members)
    rates = np.array([0.003, 0.01, 0.05, 0.123, 0.3, 0.5, 0.777, 0.95])
    low, high = roc_band(roc(ours, theirs), rates, members=members, non_members=non_members)
    for index, rate in enumerate(rates):
        slow_low, slow_high = slow_band(ours.tolist(), theirs.tolist(), float(rate))
        assert low[index] == pytest.approx(slow_low, abs=2e-4)
        assert high[index] == pytest.approx(slow_high, abs=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("members", "non_members", "auc"),
    [(10, 40, 0.7), (60, 300, 0.5), (60, 300, 0.85), (400, 300, 0.75), (200, 2000, 0.6)],
)
def test_the_true_rate_is_inside_at_least_as_often_as_it_says(members: int, non_members: int, auc: float) -> None:
    """Normal scores, whose ROC curve is known; thinned curves too. More often, as the documentation says."""
    shift = math.sqrt(2) * stats.norm.ppf(auc)
    inner = RATES[1:-1]
    truth = stats.norm.sf(stats.norm.isf(inner) - shift)
    draw, inside = np.random.default_rng(4), np.zeros(len(inner))
    for _ in range(DRAWS):
        curve = roc(draw.normal(shift, 1, members), draw.normal(size=non_members))
        assert len(curve.false_positive_rate) <= ROC_POINTS
        low, high = roc_band(curve, inner, members=members, non_members=non_members)
        inside += (low <= truth) & (truth <= high)
    assert (inside / DRAWS > 0.98).all()


def test_the_band_is_not_wider_than_both_errors_make_it() -> None:
    """To first order: z at 97.5 % times the error of the one rate, and of the other times the curve's slope."""
    draw, rates = np.random.default_rng(0), np.array([0.05, 0.1, 0.3])
    curve = roc(draw.normal(1, 1, 200), draw.normal(size=2000))
    low, high = roc_band(curve, rates, members=200, non_members=2000)
    cut = stats.norm.isf(rates)
    true, slope = stats.norm.sf(cut - 1), stats.norm.pdf(cut - 1) / stats.norm.pdf(cut)
    errors = np.sqrt(true * (1 - true) / 200) + slope * np.sqrt(rates * (1 - rates) / 2000)
    assert high - low == pytest.approx(2 * stats.norm.isf(0.0125) * errors, rel=0.2)


scores = st.lists(st.integers(-3, 3), min_size=1, max_size=40)


@given(scores, scores)
def test_bounds_rise_with_the_rate_hold_the_curve_and_stay_between_zero_and_one(
    members: list[int], non_members: list[int]
) -> None:
    """Integers: most scores are tied."""
    curve = roc(np.array(members, float), np.array(non_members, float))
    low, high = roc_band(curve, RATES, members=len(members), non_members=len(non_members))
    assert ((low >= 0) & (low <= high) & (high <= 1)).all()
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) >= 0).all()
    low, high = roc_band(curve, np.array(curve.false_positive_rate), members=len(members), non_members=len(non_members))
    assert (low <= np.array(curve.true_positive_rate) + 1e-12).all()
    assert (high >= np.array(curve.true_positive_rate) - 1e-12).all()


@given(scores, scores)
def test_fewer_records_and_a_higher_level_widen_it(members: list[int], non_members: list[int]) -> None:
    curve = roc(np.array(members * 4, float), np.array(non_members * 4, float))
    low, high = roc_band(curve, RATES, members=4 * len(members), non_members=4 * len(non_members))
    for count, level in ((1, 0.95), (4, 0.99)):
        wide_low, wide_high = roc_band(
            curve, RATES, members=count * len(members), non_members=count * len(non_members), level=level
        )
        assert (wide_low <= low + 1e-12).all()
        assert (wide_high >= high - 1e-12).all()


def test_one_record_of_each_says_next_to_nothing() -> None:
    low, high = roc_band(roc(np.ones(1), np.zeros(1)), RATES, members=1, non_members=1)
    assert low[1:-1] == pytest.approx(0)
    assert high == pytest.approx(1)


def test_all_separated_is_certain_of_as_much_as_so_many_records_allow() -> None:
    """1 − 0.0125^(1/N) is what a share of N out of N is at least."""
    curve = roc(np.ones(100) + np.arange(100), -np.arange(400.0))
    low, high = roc_band(curve, np.array([0.05]), members=100, non_members=400)
    assert low == pytest.approx(0.0125 ** (1 / 100))
    assert high == pytest.approx(1)


def test_all_tied_may_be_anything_in_between() -> None:
    curve = roc(np.ones(100), np.ones(100))
    low, high = roc_band(curve, np.array([0.2, 0.8]), members=100, non_members=100)
    assert low == pytest.approx(0)
    assert high == pytest.approx(1)


def test_at_no_false_alarms_nothing_need_be_recognised() -> None:
    curve = roc(np.arange(50.0), -np.arange(60.0))
    low, _ = roc_band(curve, np.array([0.0]), members=50, non_members=60)
    assert low == pytest.approx(0)


def test_rates_that_are_no_whole_number_of_records_are_rounded_outwards() -> None:
    between = Roc(false_positive_rate=(0, 0.25, 1), true_positive_rate=(0, 0.75, 1))
    low, high = roc_band(between, RATES, members=10, non_members=10)
    for false, true in ((0.2, 0.7), (0.3, 0.8)):
        whole = Roc(false_positive_rate=(0, false, 1), true_positive_rate=(0, true, 1))
        inner_low, inner_high = roc_band(whole, RATES, members=10, non_members=10)
        assert (low <= inner_low + 1e-12).all()
        assert (high >= inner_high - 1e-12).all()


def test_non_members_that_share_a_record_count_once() -> None:
    for attack in CLUSTERED:
        assert independent_non_members(attack, forgotten=30, holdout=500) == 30
    assert independent_non_members("loss", forgotten=30, holdout=500) == 500
