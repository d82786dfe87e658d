from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from unlearning.audit import simultaneous
from unlearning.audit.results import Interval
from unlearning.audit.simultaneous import Placed, correlations, critical_value, simultaneous_intervals
from unlearning.audit.statistics import auc_difference, auc_interval, degrees_of_freedom, placements

Array = npt.NDArray[np.float64]
Pair = tuple[Array, Array]

AREA, GAP = (0.0, 1.0), (-1.0, 1.0)
ACCURACY = 0.02
"""Four standard errors of the critical value by simulation."""


def placed(pair: Pair, error_factor: float = 1.0) -> Placed:
    return Placed(*placements(*pair), error_factor)


def gap(first: Pair, second: Pair, error_factor: float = 1.0) -> Placed:
    ours, theirs = placements(*first), placements(*second)
    return Placed(ours[0] - theirs[0], ours[1] - theirs[1], error_factor)


def correlated(draw: np.random.Generator, attacks: int, records: int, share: float) -> Array:
    """(A, N) standard normal scores with correlation `share` between attacks."""
    common, own = draw.normal(size=records), draw.normal(size=(attacks, records))
    return np.asarray(math.sqrt(share) * common + math.sqrt(1 - share) * own)


def scorings(
    seed: int, *, attacks: int = 5, members: int = 40, non_members: int = 40, share: float = 0.5
) -> list[Pair]:
    draw = np.random.default_rng(seed)
    return list(
        zip(correlated(draw, attacks, members, share), correlated(draw, attacks, non_members, share), strict=True)
    )


def named(pairs: list[Pair]) -> dict[str, Placed]:
    return {f"attack {number}": placed(pair) for number, pair in enumerate(pairs)}


def slow_covariance(first: Placed, second: Placed, shared: bool = True) -> float:
    """S10 / m + S01 / n of DeLong et al. (1988), equation 6; non-members that are not shared add nothing."""
    total = 0.0
    for a, b in [(first.members, second.members), (first.non_members, second.non_members)][: 1 + shared]:
        centred = [(x - sum(a) / len(a)) * (y - sum(b) / len(b)) for x, y in zip(a, b, strict=True)]
        total += sum(centred) / (len(a) - 1) / len(a)
    return total


def reach_of(interval: Interval) -> float:
    return (interval.high - interval.low) / 2


@pytest.mark.parametrize(("members", "non_members"), [(20, 20), (4, 90), (90, 4)])
def test_correlations_are_those_of_delongs_covariances(members: int, non_members: int) -> None:
    attacks = named(scorings(0, members=members, non_members=non_members))
    found = correlations(attacks, non_members)
    for (i, first), (j, second) in itertools.product(enumerate(attacks.values()), repeat=2):
        variances = slow_covariance(first, first) * slow_covariance(second, second)
        assert found[i, j] == pytest.approx(slow_covariance(first, second) / math.sqrt(variances))


def test_attacks_with_non_members_of_their_own_share_the_members_alone() -> None:
    first, *others = scorings(1, attacks=3, members=30, non_members=30)
    draw = np.random.default_rng(2)
    many = [placed((pair[0], draw.normal(size=50))) for pair in others]
    found = correlations({"shared": placed(first), "second": many[0], "third": many[1]}, 30)
    for (i, a), (j, b) in itertools.combinations(enumerate([placed(first), *many]), 2):
        variances = slow_covariance(a, a) * slow_covariance(b, b)
        assert found[i, j] == pytest.approx(slow_covariance(a, b, shared=False) / math.sqrt(variances))


def test_attacks_on_different_members_are_refused() -> None:
    first, second = placed(scorings(0, members=30)[0]), placed(scorings(0, members=31)[0])
    with pytest.raises(ValueError, match="different members"):
        correlations({"first": first, "second": second}, 40)


def equicorrelated_reach(attacks: int, share: float, level: float) -> float:
    """The critical value by one integral over what the attacks have in common."""

    common = np.linspace(-8, 8, 2001)

    def coverage(reach: float) -> float:
        centre, spread = math.sqrt(share) * common, math.sqrt(1 - share)
        inside = stats.norm.cdf((reach - centre) / spread) - stats.norm.cdf((-reach - centre) / spread)
        return float(np.trapezoid(stats.norm.pdf(common) * inside**attacks, common))

    low, high = 0.5, 6.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if coverage(middle) < level else (low, middle)
    return low


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize(("attacks", "share"), [(2, 0.3), (6, 0.5), (12, 0.9), (12, 0.1)])
def test_the_critical_value_is_that_of_the_integral(attacks: int, share: float, level: float) -> None:
    correlation = share + (1 - share) * np.eye(attacks)
    expected = equicorrelated_reach(attacks, share, level)
    assert critical_value(correlation, level, 0) == pytest.approx(expected, abs=ACCURACY)


def test_the_critical_value_has_its_level_by_scipys_distribution_function() -> None:
    correlation = np.array([[1, 0.7, -0.4], [0.7, 1, 0.1], [-0.4, 0.1, 1]])
    reach = np.full(3, critical_value(correlation, 0.95, 1))
    inside = stats.multivariate_normal(cov=correlation).cdf(reach, lower_limit=-reach)
    assert inside == pytest.approx(0.95, abs=0.003)


@pytest.mark.parametrize("seed", range(5))
def test_never_less_than_one_attack_needs_and_never_more_than_sidak(seed: int) -> None:
    attacks = named(scorings(seed, attacks=7, share=seed / 5))
    found = simultaneous_intervals(attacks, 40, bounds=GAP, seed=seed)
    for name, interval in found.items():
        placed_there = attacks[name]
        freedom = degrees_of_freedom(placed_there.members, placed_there.non_members)
        # How many errors the interval would reach, were they known: the normal quantile of as much in the tails.
        ratio = stats.norm.ppf(stats.t.cdf(reach_of(interval) / placed_there.error, freedom))
        sidak, bonferroni = stats.norm.ppf(0.5 + 0.95 ** (1 / 7) / 2), stats.norm.ppf(1 - 0.05 / 14)
        assert stats.norm.ppf(0.975) <= ratio + 1e-9
        assert ratio <= sidak + 1e-9 < bonferroni


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_one_attack_alone_has_its_ordinary_interval(level: float) -> None:
    first, second = scorings(3, attacks=2, members=25, non_members=60)
    area = simultaneous_intervals({"one": placed(first, 1.5)}, 60, bounds=AREA, level=level)
    difference = simultaneous_intervals({"one": gap(first, second)}, 60, bounds=GAP, level=level)
    assert area == {"one": auc_interval(*first, level, error_factor=1.5)}
    assert difference == {"one": auc_difference(first, second, level)}


def test_copies_of_one_attack_need_no_correction() -> None:
    (pair,) = scorings(0, attacks=1)
    found = simultaneous_intervals({name: placed(pair) for name in "abcdef"}, 40, bounds=AREA)
    expected = auc_interval(*pair)
    for interval in found.values():
        assert reach_of(interval) == pytest.approx(reach_of(expected), rel=0.01)


def test_the_order_of_attacks_does_not_matter() -> None:
    attacks = named(scorings(4))
    turned = dict(reversed(attacks.items()))
    assert simultaneous_intervals(attacks, 40, bounds=AREA) == simultaneous_intervals(turned, 40, bounds=AREA)


def test_the_error_factor_widens_its_own_attack_alone() -> None:
    pairs = scorings(5)
    plain = named(pairs)
    widened = plain | {"attack 2": placed(pairs[2], 1.5)}
    before, after = (simultaneous_intervals(each, 40, bounds=GAP) for each in (plain, widened))
    for name in plain:
        factor = 1.5 if name == "attack 2" else 1
        assert reach_of(after[name]) == pytest.approx(factor * reach_of(before[name]))


def test_complete_separation_is_a_point_and_costs_the_others_nothing() -> None:
    pairs = scorings(6)
    attacks = named(pairs)
    separated = placed((np.arange(10.0, 50.0), -np.arange(40.0)))
    both = simultaneous_intervals({**attacks, "sure": separated}, 40, bounds=AREA)
    assert both.pop("sure") == Interval(estimate=1, low=1, high=1)
    assert both == simultaneous_intervals(attacks, 40, bounds=AREA)


def test_nothing_but_degenerate_attacks() -> None:
    blind = placed((np.zeros(6), np.zeros(9)))
    assert simultaneous_intervals({}, 9, bounds=AREA) == {}
    found = simultaneous_intervals({"blind": blind, "again": blind}, 9, bounds=AREA)
    assert set(found.values()) == {Interval(estimate=0.5, low=0.5, high=0.5)}


@pytest.mark.parametrize("pair", [(np.array([1.0]), np.array([0.0, 2, 3])), (np.array([0.0, 2, 3]), np.array([1.0]))])
def test_a_single_record_leaves_everything_possible(pair: Pair) -> None:
    attacks = {"one": placed(pair), "two": placed((-pair[0], -pair[1]))}
    for interval in simultaneous_intervals(attacks, len(pair[1]), bounds=AREA).values():
        assert (interval.low, interval.high) == AREA


def alarms(monkeypatch: pytest.MonkeyPatch, draws: int, members: int, *, paired: bool) -> tuple[int, int]:
    """How often any of 6 attacks that tell nothing seems to tell something: together, and each alone."""
    # Few draws, and others every time: their error averages out over the simulations.
    monkeypatch.setattr(simultaneous, "DRAWS", 3000)
    together, alone = 0, 0
    for seed in range(draws):
        scored = [scorings(seed * 2 + model, attacks=6, members=members, non_members=120) for model in (0, 1)]
        pairs = list(zip(*scored, strict=True))
        attacks = {str(name): gap(*both) if paired else placed(both[0]) for name, both in enumerate(pairs)}
        truth = 0.0 if paired else 0.5
        found = simultaneous_intervals(attacks, 120, bounds=GAP, seed=seed)
        together += any(not each.low <= truth <= each.high for each in found.values())
        reach = stats.norm.ppf(0.975)
        alone += any(abs(each.members.mean() - truth) > reach * each.error for each in attacks.values())
    return together, alone


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("members", [20, 100])
def test_all_intervals_hold_together_as_often_as_they_say(
    monkeypatch: pytest.MonkeyPatch, members: int, paired: bool
) -> None:
    """With normal quantiles 20 members raised nearly twice as many false alarms."""
    draws = 500
    together, alone = alarms(monkeypatch, draws, members, paired=paired)
    corrected = stats.binomtest(together, draws).proportion_ci(0.999)
    assert corrected.low <= 0.05 <= corrected.high
    assert stats.binomtest(alone, draws).proportion_ci(0.999).low > 0.10
