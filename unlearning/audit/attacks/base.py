"""What an attack is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlearning.audit.signals import Signals
from unlearning.audit.statistics import Scores, placements


@dataclass(frozen=True)
class AuditedSignals:
    """The signals of one model, by group of records."""

    forget: Signals
    holdout: Signals
    retained: Signals


@dataclass(frozen=True)
class MembershipScores:
    """(F,) scores of the forget set and (H,) of the holdout; larger means "more likely a member".

    `error_factor` is how much larger than DeLong's the standard error of their AUC is: 1 when the
    attack was not fitted on the scored groups.
    """

    forget: Scores
    holdout: Scores
    error_factor: float = 1.0
    clusters: npt.NDArray[np.intp] | None = None
    """(H,) the forgotten record that each non-member is about, where non-members are other models' looks at it."""
    left_out: tuple[float, ...] = ()
    """AUCs with one part of the records left out that make the scale."""

    @property
    def pair(self) -> tuple[Scores, Scores]:
        """(forget, holdout), as the statistics take them."""
        return self.forget, self.holdout

    @property
    def placements(self) -> tuple[Scores, Scores]:
        """`statistics.placements`, to be compared record by record with those of another model.

        Where non-members come in clusters, what belongs to one record moves together (Obuchowski 1997): each record's
        own share of the error is added to its placement, and in place of the non-members stand the pseudo-values of a
        jackknife over the parts that make the scale. Differences then keep what two models have in common.
        """
        members, non_members = placements(*self.pair)
        if self.clusters is None:
            return members, non_members
        count = len(members)
        sums = np.bincount(self.clusters, non_members - non_members.mean(), minlength=count)
        parts = np.asarray(self.left_out)
        spread = (len(parts) - 1) * (parts.mean() - parts) if len(parts) else np.zeros(2)
        return members + count / len(non_members) * sums, spread

    @property
    def comparison_factor(self) -> float:
        """How much larger the standard error of a difference of such placements is than DeLong's."""
        return self.error_factor if self.clusters is None else 1.0


Attack = Callable[[AuditedSignals, int], MembershipScores]
"""Signals and a seed to membership scores."""
