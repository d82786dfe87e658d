"""What an attack is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from unlearning.audit.signals import Signals
from unlearning.audit.statistics import Scores


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

    @property
    def pair(self) -> tuple[Scores, Scores]:
        """(forget, holdout), as the statistics take them."""
        return self.forget, self.holdout


Attack = Callable[[AuditedSignals, int], MembershipScores]
"""Signals and a seed to membership scores."""
