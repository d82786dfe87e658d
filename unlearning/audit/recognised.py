"""Who is recognised at a false positive rate so low that being named is evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlearning.audit.attacks.base import MembershipScores
from unlearning.audit.attacks.referenced import CommonScale, online_in_place
from unlearning.audit.statistics import threshold_at

Array = npt.NDArray[np.float64]

RATE = 0.01
"""False positives that are allowed, as a share of the non-members."""


@dataclass(frozen=True)
class Recognised:
    """Of each forgotten record, how often it is called a member; the mean is the true positive rate."""

    forget: Array
    """(F,) in [0, 1]."""
    threshold: Array
    """(N,) what each non-member adds to the rate by its say in where the threshold lies; their mean is about 0."""


def recognised(scores: MembershipScores, rate: float = RATE) -> Recognised:
    """By the threshold that at most `rate` of the holdout exceed.

    One non-member more above it moves the threshold, and the true positive rate with it: by the slope of the ROC curve
    there, of which its height over its base is at least as much wherever the curve is concave.
    """
    threshold = threshold_at(scores.holdout, rate)
    hits = (scores.forget > threshold).astype(np.float64)
    above = (scores.holdout > threshold).astype(np.float64)
    return Recognised(hits, -(above - above.mean()) * hits.mean() / rate)


def recognised_online(shown: CommonScale, rate: float = RATE) -> tuple[Recognised, Recognised]:
    """The same by online LiRA, of the audited model and of the references not trained on the records.

    Those references are the non-members, see `attacks.referenced.lira_online`: the threshold is theirs, and belongs to
    the very records that are judged.
    """
    outside = ~shown.trained
    ours, theirs = online_in_place(shown)
    threshold = threshold_at(theirs[outside], rate)
    nobody = np.zeros(0)
    return Recognised(_mean_above(ours, threshold), nobody), Recognised(_mean_above(theirs, threshold), nobody)


def _mean_above(scores: Array, threshold: float) -> Array:
    """(F,) shares of the references in whose place the record is above the threshold."""
    judged = np.isfinite(scores)
    return np.asarray((scores > threshold).sum(axis=0, where=judged) / judged.sum(axis=0))
