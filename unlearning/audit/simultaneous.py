"""Intervals that hold for all attacks together: the strongest of many looks stronger than it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from unlearning.audit.results import Interval
from unlearning.audit.statistics import Scores, degrees_of_freedom, quantile, standard_error

Array = npt.NDArray[np.float64]

DRAWS = 100_000
"""Of the largest |Z|: the standard error of its 95 % quantile is 0.005, which moves the coverage by 0.07 points."""


@dataclass(frozen=True)
class Placed:
    """(m,) and (n,) placements of one attack, or differences of them, see `statistics.placements`."""

    members: Scores
    non_members: Scores
    error_factor: float = 1.0

    @property
    def error(self) -> float:
        """Standard error of the mean of `members`."""
        return self.error_factor * standard_error(self.members, self.non_members)

    def reach(self, critical: float) -> float:
        """How far an interval goes that would go `critical` errors, were they known and not estimated: as far as t
        with as much in its tails."""
        freedom = degrees_of_freedom(self.members, self.non_members)
        return quantile(float(norm.cdf(critical)), freedom) * self.error


def _centred(placements: Scores) -> Array:
    count = len(placements)
    return np.asarray((placements - placements.mean()) / math.sqrt(count * max(count - 1, 1)))


def _influence(placed: Placed, non_members: int, own: int, total: int) -> Array:
    """What every record adds to the estimate's error: members, then the shared non-members, then those that only
    this attack has, in columns `own` and on. The squares add up to DeLong's variance."""
    members, others = _centred(placed.members), _centred(placed.non_members)
    found = np.zeros(total)
    found[: len(members)] = members
    start = len(members) if len(others) == non_members else own
    found[start : start + len(others)] = others
    return found


def correlations(attacks: Mapping[str, Placed], non_members: int) -> Array:
    """(A, A) correlations of the attacks' errors, by DeLong's components (1988).

    Args:
        attacks: A attacks, all on the same members.
        non_members: how many the attacks share; an attack with another number has its own.

    Raises:
        ValueError: an attack has other members than the first.
    """
    members = len(next(iter(attacks.values())).members)
    if any(len(each.members) != members for each in attacks.values()):
        raise ValueError("attacks on different members have no correlation: give one placement per member to each")
    extra = [len(each.non_members) if len(each.non_members) != non_members else 0 for each in attacks.values()]
    starts = members + non_members + np.cumsum([0, *extra])
    rows = np.stack(
        [
            _influence(each, non_members, int(start), int(starts[-1]))
            for each, start in zip(attacks.values(), starts[:-1], strict=True)
        ]
    )
    lengths = np.linalg.norm(rows, axis=1)
    units = rows / np.where(lengths > 0, lengths, 1.0)[:, None]
    found = units @ units.T
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def critical_value(correlation: Array, level: float, seed: int) -> float:
    """What the largest |Z| of correlated normals stays below with probability `level`."""
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    draws = np.random.default_rng(seed).standard_normal((DRAWS, len(correlation)))
    largest = np.abs(draws @ root.T).max(axis=1)
    alone = float(norm.ppf(0.5 + level / 2))
    together = float(norm.ppf(0.5 + level ** (1 / len(correlation)) / 2))
    # Never less than one attack alone, never more than independent ones need (Šidák 1967).
    return float(np.clip(np.quantile(largest, level), alone, together))


def simultaneous_intervals(
    attacks: Mapping[str, Placed], non_members: int, *, bounds: tuple[float, float], level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Intervals that all hold at once with probability `level`.

    Args:
        attacks: placements for AUCs, differences of placements for differences of AUCs.
        non_members: how many non-members the attacks share.
        bounds: smallest and largest possible value.
        level: coverage of all of them together.
        seed: of the draws behind the critical value.

    Returns:
        By name. As in `statistics.auc_interval`, an attack whose variance is estimated as 0 has a point, one with
        a single record in a group everything that is possible; neither widens the others' intervals.
    """
    # Sorted, so that the same attacks draw the same numbers in whatever order they come.
    judged = {name: attacks[name] for name in sorted(attacks) if 0 < attacks[name].error < math.inf}
    critical = critical_value(correlations(judged, non_members), level, seed) if judged else 0.0
    found = {}
    for name, each in attacks.items():
        estimate = float(each.members.mean())
        low, high = bounds
        if each.error < math.inf:
            reach = each.reach(critical)
            low, high = estimate - reach, estimate + reach
        found[name] = Interval(estimate=estimate, low=max(low, bounds[0]), high=min(high, bounds[1]), level=level)
    return found
