from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from unlearning.audit.results import Interval
from unlearning.audit.statistics import (
    ROC_POINTS,
    auc_difference,
    auc_interval,
    balanced_accuracy,
    clustered_error,
    degrees_of_freedom,
    mean_difference,
    proportion_interval,
    quantile,
    roc,
    tpr_at_fpr,
)

Scores = npt.NDArray[np.float64]
Pair = tuple[Scores, Scores]


def scores(*values: float) -> Scores:
    return np.array(values, dtype=np.float64)


def groups(least: int = 2, most: int = 12) -> st.SearchStrategy[Pair]:
    """Two groups of scores with many ties, within and between the groups."""
    group = st.lists(st.integers(-4, 4), min_size=least, max_size=most).map(lambda values: scores(*values))
    return st.tuples(group, group)


def two_scorings() -> st.SearchStrategy[tuple[Pair, Pair]]:
    """The same records scored twice."""
    rows = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=9)
    columns = rows.map(lambda pairs: np.array(pairs, dtype=np.float64).T)
    return st.tuples(columns, columns).map(lambda both: ((both[0][0], both[1][0]), (both[0][1], both[1][1])))


def wins(member: float, non_member: float) -> float:
    return 1.0 if member > non_member else 0.5 if member == non_member else 0.0


def slow_auc(members: Scores, non_members: Scores) -> float:
    total = 0.0
    for member in members:
        for non_member in non_members:
            total += wins(member, non_member)
    return total / (len(members) * len(non_members))


def covariance(first: list[float], second: list[float]) -> float:
    centre, other = sum(first) / len(first), sum(second) / len(second)
    return sum((a - centre) * (b - other) for a, b in zip(first, second, strict=True)) / (len(first) - 1)


def components(pair: Pair) -> tuple[list[float], list[float]]:
    """V10 and V01 of DeLong et al. (1988), equations 4 and 5, as double sums."""
    members, non_members = pair
    of_members = [sum(wins(member, non_member) for non_member in non_members) / len(non_members) for member in members]
    of_non_members = [sum(wins(member, non_member) for member in members) / len(members) for non_member in non_members]
    return of_members, of_non_members


def slow_covariance(first: Pair, second: Pair) -> float:
    """Covariance of two areas: S10 / m + S01 / n."""
    (a10, a01), (b10, b01) = components(first), components(second)
    return covariance(a10, b10) / len(a10) + covariance(a01, b01) / len(a01)


def half_width(variance: float, level: float, freedom: float) -> float:
    return float(stats.t.isf((1 - level) / 2, freedom)) * math.sqrt(max(variance, 0))


def slow_freedom(of_members: list[float], of_non_members: list[float]) -> float:
    """Welch's formula, term by term."""
    parts = [(covariance(each, each) / len(each), len(each) - 1) for each in (of_members, of_non_members)]
    below = sum(part * part / size for part, size in parts)
    return max(1.0, sum(part for part, _ in parts) ** 2 / below) if below > 0 else math.inf


def assert_interval(found: Interval, estimate: float, half: float, low: float, high: float) -> None:
    assert found.estimate == pytest.approx(estimate, abs=1e-12)
    assert found.low == pytest.approx(max(low, estimate - half), abs=1e-7)
    assert found.high == pytest.approx(min(high, estimate + half), abs=1e-7)


@given(pair=groups(), level=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_area_and_interval_are_those_of_explicit_double_sums(pair: Pair, level: float) -> None:
    found = auc_interval(*pair, level)
    assert found.level == level
    half = half_width(slow_covariance(pair, pair), level, slow_freedom(*components(pair)))
    assert_interval(found, slow_auc(*pair), half, 0, 1)


@given(pair=groups())
def test_swapping_the_groups_mirrors_the_area(pair: Pair) -> None:
    found, mirrored = auc_interval(*pair), auc_interval(*pair[::-1])
    assert mirrored.estimate == pytest.approx(1 - found.estimate)
    assert mirrored.low == pytest.approx(1 - found.high)
    assert mirrored.high == pytest.approx(1 - found.low)


@pytest.mark.parametrize("increasing", [np.exp, lambda x: x**3 + x, lambda x: 5 * x - 7, np.arctan])
@given(pair=groups())
def test_an_increasing_transform_changes_nothing(increasing: Callable[[Scores], Scores], pair: Pair) -> None:
    moved = (increasing(pair[0]), increasing(pair[1]))
    assert auc_interval(*moved) == auc_interval(*pair)
    assert tpr_at_fpr(*moved, rate=0.2) == tpr_at_fpr(*pair, rate=0.2)


@given(pair=groups())
def test_negating_the_scores_mirrors_the_area(pair: Pair) -> None:
    assert auc_interval(-pair[0], -pair[1]).estimate == pytest.approx(1 - auc_interval(*pair).estimate)


def test_the_area_has_its_closed_forms() -> None:
    assert auc_interval(scores(3, 4), scores(1, 2)) == Interval(estimate=1, low=1, high=1)
    assert auc_interval(scores(1, 2), scores(3, 4)) == Interval(estimate=0, low=0, high=0)
    assert auc_interval(scores(7, 7), scores(7, 7, 7)) == Interval(estimate=0.5, low=0.5, high=0.5)
    assert auc_interval(scores(0, 2), scores(1, 1)).estimate == 0.5


@given(pair=groups())
def test_a_higher_level_gives_a_wider_interval_around_the_same_estimate(pair: Pair) -> None:
    narrow, wide = auc_interval(*pair, 0.8), auc_interval(*pair, 0.99)
    assert 0 <= wide.low <= narrow.low <= narrow.estimate == wide.estimate <= narrow.high <= wide.high <= 1


@given(both=two_scorings(), level=st.sampled_from([0.5, 0.9, 0.95]))
def test_the_paired_difference_is_that_of_explicit_double_sums(both: tuple[Pair, Pair], level: float) -> None:
    first, second = both
    variance = slow_covariance(first, first) + slow_covariance(second, second) - 2 * slow_covariance(first, second)
    found = auc_difference(first, second, level)
    assert found.level == level
    pairs = zip(components(first), components(second), strict=True)
    differences = [[a - b for a, b in zip(*each, strict=True)] for each in pairs]
    half = half_width(variance, level, slow_freedom(*differences))
    assert_interval(found, slow_auc(*first) - slow_auc(*second), half, -1, 1)


@given(both=two_scorings())
def test_exchanging_the_scorings_changes_the_sign_of_their_difference(both: tuple[Pair, Pair]) -> None:
    there, back = auc_difference(*both), auc_difference(*both[::-1])
    assert (back.low, back.estimate, back.high) == (-there.high, -there.estimate, -there.low)


@given(pair=groups())
def test_scorings_of_the_same_order_differ_by_exactly_nothing(pair: Pair) -> None:
    same = Interval(estimate=0, low=0, high=0, level=0.9)
    assert auc_difference(pair, pair) == same
    assert auc_difference(pair, (np.exp(pair[0]), np.exp(pair[1]))) == same


def test_pairing_narrows_the_interval_of_correlated_scorings() -> None:
    draw = np.random.default_rng(0)
    first = (draw.normal(1, 1, 80), draw.normal(0, 1, 80))
    second = tuple(group + draw.normal(0, 0.1, 80) for group in first)
    shuffled = tuple(draw.permutation(group) for group in second)
    paired, unpaired = auc_difference(first, second), auc_difference(first, shuffled)  # type: ignore[arg-type]
    assert paired.estimate == pytest.approx(unpaired.estimate)
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)


def assert_coverage(hits: int, draws: int, level: float) -> None:
    """Two points of slack for the normal approximation, and 4 standard errors of the simulation."""
    assert abs(hits / draws - level) < 0.02 + 4 * math.sqrt(level * (1 - level) / draws)


def test_intervals_cover_the_true_area_as_often_as_they_say() -> None:
    """Normal scores one standard deviation apart: the area is Φ(1 / √2)."""
    draws, truth, hits = 500, float(stats.norm.cdf(1 / math.sqrt(2))), 0
    for seed in range(draws):
        draw = np.random.default_rng(seed)
        found = auc_interval(draw.normal(1, 1, 50), draw.normal(0, 1, 80))
        hits += found.low <= truth <= found.high
    assert_coverage(hits, draws, 0.95)


def test_intervals_of_paired_differences_cover_the_truth_as_often_as_they_say() -> None:
    """The second scoring is the first plus noise of variance 1, which lowers the area to Φ(1 / 2)."""
    draws, hits = 500, 0
    truth = float(stats.norm.cdf(1 / math.sqrt(2)) - stats.norm.cdf(0.5))
    for seed in range(draws):
        draw = np.random.default_rng(seed)
        members, non_members = draw.normal(1, 1, 50), draw.normal(0, 1, 80)
        noisy = (members + draw.normal(size=50), non_members + draw.normal(size=80))
        found = auc_difference((members, non_members), noisy)
        hits += found.low <= truth <= found.high
    assert_coverage(hits, draws, 0.90)


@pytest.mark.parametrize(("members", "non_members"), [(2, 2), (3, 40), (20, 300), (300, 20)])
def test_the_freedom_is_that_of_the_group_that_tells_less(members: int, non_members: int) -> None:
    draw = np.random.default_rng(members)
    groups = draw.normal(size=members), draw.normal(size=non_members)
    found = degrees_of_freedom(*groups)
    assert found == pytest.approx(slow_freedom(*(each.tolist() for each in groups)))
    assert max(1, min(members, non_members) - 1) <= found <= members + non_members - 2
    assert quantile(0.975, found) == pytest.approx(stats.t.ppf(0.975, found))


def test_what_is_not_spread_has_normal_quantiles() -> None:
    nothing = np.zeros(5)
    assert degrees_of_freedom(nothing, nothing) == degrees_of_freedom(nothing[:1], nothing[:1]) == math.inf
    assert quantile(0.975, math.inf) == pytest.approx(stats.norm.ppf(0.975))


@pytest.mark.parametrize("pair", [(scores(1), scores(0, 2, 3)), (scores(0, 2, 3), scores(1)), (scores(1), scores(0))])
def test_a_single_record_says_nothing_about_the_spread(pair: Pair) -> None:
    found, difference = auc_interval(*pair), auc_difference(pair, pair)
    assert found.estimate == slow_auc(*pair)
    assert (found.low, found.high) == (0, 1)
    assert (difference.low, difference.estimate, difference.high) == (-1, 0, 1)


@pytest.mark.parametrize("total", [1, 2, 7, 60])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_shares_have_the_interval_of_scipys_exact_binomial_test(total: int, level: float) -> None:
    for hits in range(total + 1):
        exact = stats.binomtest(hits, total).proportion_ci(confidence_level=level, method="exact")
        found = proportion_interval(hits, total, level)
        assert (found.estimate, found.level) == (hits / total, level)
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


@given(hits=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30))
def test_the_difference_of_hits_is_that_of_the_discordant_pairs(hits: list[tuple[bool, bool]]) -> None:
    first, second = np.array(hits).T
    count = len(hits)
    only_first = sum(a and not b for a, b in hits)
    only_second = sum(b and not a for a, b in hits)
    # As in McNemar's test, concordant pairs count only in the number of records.
    mean = (only_first - only_second) / count
    variance = (only_first + only_second - count * mean**2) / (count - 1) / count
    found = mean_difference(first, second)
    assert found.level == 0.90
    assert_interval(found, mean, half_width(variance, 0.90, math.inf), -1, 1)


def test_the_difference_of_hits_by_hand() -> None:
    """3 of 4 against 1 of 4: differences 1, 1, 0, 0, of variance 1/3."""
    found = mean_difference(np.array([True, True, True, False]), np.array([False, False, True, False]))
    assert found.estimate == 0.5
    assert found.low == pytest.approx(0.5 - 1.6448536 * math.sqrt(1 / 3 / 4))
    assert found.high == pytest.approx(0.5 + 1.6448536 * math.sqrt(1 / 3 / 4))


@given(hits=st.lists(st.booleans(), min_size=2, max_size=9).map(np.array))
def test_equal_hits_differ_by_exactly_nothing(hits: npt.NDArray[np.bool_]) -> None:
    assert mean_difference(hits, hits) == Interval(estimate=0, low=0, high=0, level=0.9)


def slow_true_positives(members: Scores, non_members: Scores, rate: float) -> int:
    """The most members any threshold catches while at most `rate` of the non-members exceed it."""
    best = 0
    for threshold in (-math.inf, *members, *non_members):
        false_positives = sum(non_member > threshold for non_member in non_members)
        if false_positives <= rate * len(non_members) + 1e-9:
            best = max(best, sum(member > threshold for member in members))
    return best


@given(pair=groups(least=1, most=25), rate=st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.9]))
def test_the_rate_at_few_false_alarms_is_the_best_of_all_thresholds(pair: Pair, rate: float) -> None:
    found = tpr_at_fpr(*pair, rate)
    assert found == proportion_interval(slow_true_positives(*pair, rate), len(pair[0]))


def test_one_in_a_hundred_non_members_may_be_a_false_positive() -> None:
    non_members = np.arange(100, dtype=np.float64)
    assert tpr_at_fpr(scores(98.5, 97.5, 200, 0), non_members).estimate == 0.5
    assert tpr_at_fpr(scores(98.5, 97.5, 200, 0), non_members[:99]).estimate == 0.5
    assert tpr_at_fpr(scores(98, 99, 98, 99), non_members).estimate == 0.5


@pytest.mark.parametrize("percent", [7, 14, 28, 29, 57, 58])
def test_rounding_of_the_rate_costs_no_non_member(percent: int) -> None:
    """0.29 × 100 is 28.999999999999996."""
    members = np.array([99 - percent + 0.5])
    assert tpr_at_fpr(members, np.arange(100, dtype=np.float64), percent / 100).estimate == 1
    assert tpr_at_fpr(members - 1, np.arange(100, dtype=np.float64), percent / 100).estimate == 0


def area_below(x: tuple[float, ...], y: tuple[float, ...]) -> float:
    points = list(zip(x, y, strict=True))
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))


@given(pair=groups())
def test_the_curve_goes_through_the_rates_of_every_threshold_and_holds_the_area(pair: Pair) -> None:
    members, non_members = pair
    curve = roc(members, non_members)
    thresholds = (math.inf, *sorted({*members, *non_members}))
    rates = {(float((non_members >= each).mean()), float((members >= each).mean())) for each in thresholds}
    points = list(zip(curve.false_positive_rate, curve.true_positive_rate, strict=True))
    assert points[0] == (0, 0)
    assert points[-1] == (1, 1)
    assert set(points) <= rates
    assert points == sorted(points)
    assert area_below(curve.false_positive_rate, curve.true_positive_rate) == pytest.approx(slow_auc(*pair))


def test_a_long_curve_is_thinned_without_losing_its_ends_or_its_area() -> None:
    draw = np.random.default_rng(0)
    pair = (draw.normal(1, 1, 1500), draw.normal(0, 1, 1500))
    curve = roc(*pair)
    assert 100 < len(curve.false_positive_rate) == len(curve.true_positive_rate) <= ROC_POINTS
    assert (curve.false_positive_rate[0], curve.true_positive_rate[0]) == (0, 0)
    assert (curve.false_positive_rate[-1], curve.true_positive_rate[-1]) == (1, 1)
    found = area_below(curve.false_positive_rate, curve.true_positive_rate)
    assert found == pytest.approx(auc_interval(*pair).estimate, abs=2e-3)


@given(pair=groups(), record=st.integers(0, 11))
def test_raising_a_members_score_never_lowers_the_area(pair: Pair, record: int) -> None:
    assume(record < len(pair[0]))
    raised = pair[0].copy()
    raised[record] += 1
    assert auc_interval(raised, pair[1]).estimate >= auc_interval(*pair).estimate


def slow_balanced_accuracy(members: Scores, non_members: Scores) -> float:
    """Try every score of one half as the threshold; judge the other half by the best."""
    shares = []
    for fitted, judged in ((0, 1), (1, 0)):
        ours, theirs = members[fitted::2], non_members[fitted::2]
        candidates = sorted({*ours.tolist(), *theirs.tolist()}, reverse=True)
        best = max([np.inf, *candidates], key=lambda at: np.mean(ours >= at) - np.mean(theirs >= at))
        shares.append((np.mean(members[judged::2] >= best) + np.mean(non_members[judged::2] < best)) / 2)
    return float(np.mean(shares))


def test_the_balanced_accuracy_is_that_of_the_best_threshold_on_the_other_half() -> None:
    for seed in range(20):
        draw = np.random.default_rng(seed)
        members, non_members = draw.normal(1, size=31), draw.normal(size=44)
        assert balanced_accuracy(members, non_members) == pytest.approx(slow_balanced_accuracy(members, non_members))


def test_complete_separation_is_right_about_everybody_and_no_difference_about_half() -> None:
    assert balanced_accuracy(np.full(10, 20.0), np.arange(14.0)) == 1
    assert balanced_accuracy(np.zeros(10), np.zeros(14)) == 0.5
    chance = [
        balanced_accuracy(draw.normal(size=60), draw.normal(size=60)) for draw in map(np.random.default_rng, range(40))
    ]
    assert abs(float(np.mean(chance)) - 0.5) < 4 * float(np.std(chance)) / np.sqrt(40)


def test_the_clustered_error_is_the_sum_over_records_corrected_for_their_number() -> None:
    """Against the definition, loop by loop, on few records, where n / (n - 1) counts."""
    members, non_members, cluster = np.array([0.9, 0.2, 0.6]), np.array([0.1, 0.5, 0.7, 0.3]), np.array([0, 0, 1, 2])

    def above(one: float, other: float) -> float:
        return 1.0 if one > other else 0.5 if one == other else 0.0

    auc = float(np.mean([[above(m, s) for s in non_members] for m in members]))
    total = 0.0
    for record, member in enumerate(members):
        own = float(np.mean([above(member, s) for s in non_members])) - auc
        around = [float(np.mean([above(m, s) for m in members])) - auc for s in non_members[cluster == record]]
        total += (own / len(members) + sum(around) / len(non_members)) ** 2
    wanted = math.sqrt(3 / 2 * total)
    assert clustered_error(members, non_members, cluster) == pytest.approx(wanted, rel=1e-12)
