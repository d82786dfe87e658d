"""Rates of an attack that has to answer yes or no."""

from __future__ import annotations

import numpy as np

from unlearning.audit.results import Rates
from unlearning.audit.statistics import Scores, best_threshold, proportion_interval, tpr_at_fpr

FINEST = 0.001


def rates(members: Scores, strangers: Scores) -> Rates:
    """The rates of one attack's scores.

    The threshold that does best on every other record judges the rest, and the other way round, so no
    record is judged by a threshold fitted on it.

    Args:
        members: (m ≥ 2,) scores of the records under suspicion; larger means member.
        strangers: (n ≥ 2,) scores of records never trained on.
    """
    yes_members, yes_strangers = np.zeros(len(members), dtype=bool), np.zeros(len(strangers), dtype=bool)
    for half in (0, 1):
        threshold = best_threshold(members[half::2], strangers[half::2])
        yes_members[1 - half :: 2] = members[1 - half :: 2] > threshold
        yes_strangers[1 - half :: 2] = strangers[1 - half :: 2] > threshold
    hits, called = int(yes_members.sum()), int(yes_members.sum() + yes_strangers.sum())
    return Rates(
        accuracy=float((yes_members.mean() + 1 - yes_strangers.mean()) / 2),
        precision=proportion_interval(hits, called) if called else None,
        recall=proportion_interval(hits, len(members)),
        tpr_at_01_fpr=tpr_at_fpr(members, strangers, FINEST),
        resolved=len(strangers) >= 1 / FINEST,
    )
