"""Bands around a ROC curve, from its stored points and the numbers of records alone.

At one threshold both rates are shares of records, so two exact intervals (Clopper & Pearson 1934) at 97.5 %
each hold both true rates at once with at least 95 % (Bonferroni): a rectangle around the point. Whatever true
false-positive rate f a threshold has, with 95 % its rectangle holds f and the true-positive rate there. From
the lowest to the highest rectangle that reaches f, the band therefore holds the true-positive rate at f with at
least 95 %: pointwise, not for the whole curve at once.

Stored curves are thinned. What was left out lies between its neighbours in both rates, so two neighbours count
as all that may be between them, and the band is rather too wide than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from unlearning.audit.results import Roc
from unlearning.audit.statistics import proportion_interval

Floats = npt.NDArray[np.float64]

CLUSTERED = ("lira_online", "u_lira")
"""Their non-members are reference models on the forgotten records themselves, several to a record."""
_ROUNDING = 1e-6


def independent_non_members(attack: str, *, forgotten: int, holdout: int) -> int:
    """How many non-members of an attack may be counted as independent.

    Where several belong to one record, as many as there are records: they move together, at worst as one.
    """
    return forgotten if attack in CLUSTERED else holdout


def roc_band(curve: Roc, at: Floats, *, members: int, non_members: int, level: float = 0.95) -> tuple[Floats, Floats]:
    """Lower and upper bound of the true-positive rate at given false-positive rates.

    Args:
        curve: from (0, 0) to (1, 1), rising in both rates.
        at: (N,) false-positive rates, each in [0, 1].
        members: records under suspicion, at least 1.
        non_members: records never trained on that count as independent, at least 1.
        level: least coverage at each rate, not of the whole curve at once.

    Returns:
        (N,) and (N,), both in [0, 1] and rising with the rate.
    """
    false_low, false_high = _bounds(curve.false_positive_rate, non_members, level)
    true_low, true_high = _bounds(curve.true_positive_rate, members, level)
    # Neighbours i and i + 1 reach from false_low[i] to false_high[i + 1]; all bounds rise with i.
    first = np.searchsorted(false_high[1:], at, side="left")
    last = np.searchsorted(false_low[:-1], at, side="right")
    return true_low[first], true_high[last]


def _bounds(rates: Sequence[float], total: int, level: float) -> tuple[Floats, Floats]:
    """Of each rate; a rate of several scores to a record need not be a whole number of records."""
    each = (1 + level) / 2
    low = [_share(math.floor(rate * total + _ROUNDING), total, each)[0] for rate in rates]
    high = [_share(math.ceil(rate * total - _ROUNDING), total, each)[1] for rate in rates]
    return np.array(low), np.array(high)


@cache
def _share(hits: int, total: int, level: float) -> tuple[float, float]:
    found = proportion_interval(hits, total, level)
    return found.low, found.high
