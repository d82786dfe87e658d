"""Rates of an attack that has to answer yes or no."""

from __future__ import annotations

from unlearning.audit.results import Rates
from unlearning.audit.statistics import Scores, predictions, proportion_interval, tpr_at_fpr

FINEST = 0.001


def rates(members: Scores, non_members: Scores) -> Rates:
    """The rates of one attack's scores, with the answers of `statistics.predictions`.

    Args:
        members: (m ≥ 2,) scores of the records under suspicion; larger means member.
        non_members: (n ≥ 2,) scores of records never trained on.
    """
    of_members, of_non_members = predictions(members, non_members)
    hits, called = int(of_members.sum()), int(of_members.sum() + of_non_members.sum())
    return Rates(
        accuracy=float((of_members.mean() + 1 - of_non_members.mean()) / 2),
        precision=proportion_interval(hits, called) if called else None,
        recall=proportion_interval(hits, len(members)),
        tpr_at_01_fpr=tpr_at_fpr(members, non_members, FINEST),
        resolved=len(non_members) >= 1 / FINEST,
    )
