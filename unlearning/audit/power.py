"""What an audit of so many records can see at all."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm


def _variance(auc: float, members: int, non_members: int) -> float:
    """Variance of an AUC, from the AUC alone (Hanley & McNeil 1982, Radiology 143, equations 1 and 2)."""
    both_members, both_non_members = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (members - 1) * (both_members - auc**2) + (non_members - 1) * (both_non_members - auc**2)
    return spread / (members * non_members)


def power_at(auc: float, members: int, non_members: int, *, alpha: float = 0.05) -> float:
    """Chance that a one-sided test at `alpha` finds an AUC above ½ when it truly is `auc`.

    Args:
        auc: the true one, from 0.5 to below 1.
        members, non_members: records of each group.
        alpha: chance of a false alarm.
    """
    threshold = 0.5 + norm.ppf(1 - alpha) * np.sqrt((members + non_members + 1) / (12 * members * non_members))
    return float(norm.sf((threshold - auc) / np.sqrt(_variance(auc, members, non_members))))


def detectable_auc(members: int, non_members: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest AUC that a one-sided test at `alpha` finds with the given power; smaller is better.

    1 where even perfect separation would not be found as often; 0.5 for a power that a false alarm has.
    """
    if power <= alpha:
        return 0.5
    highest = 1 - 1e-9

    def lacking(auc: float) -> float:
        return power_at(auc, members, non_members, alpha=alpha) - power

    return float(brentq(lacking, 0.5, highest)) if lacking(highest) > 0 else 1.0


def equivalence_power(standard_error: float, margin: float, *, gap: float = 0.0, alpha: float = 0.05) -> float:
    """Chance that two one-sided tests find a difference inside ± `margin` when it truly is `gap`."""
    if standard_error == 0:
        return float(abs(gap) < margin)
    reach = norm.ppf(1 - alpha) * standard_error
    if reach >= margin:
        return 0.0
    upper, lower = (margin - reach - gap) / standard_error, (reach - margin - gap) / standard_error
    return float(norm.cdf(upper) - norm.cdf(lower))
