"""The policy: how a candidate is judged, and what follows its verdict.

Written once for the form, the command line, the tasks and the docs. A new parameter is a field here and the place
where it acts: tasks are handed the policy as a whole.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unlearning.audit.results import Reference
from unlearning.core.config import Config

OnFailure = Literal["retrain", "stop"]
OnInconclusive = Literal["retrain", "stop", "accept", "accept_retrained", "qualified"]
MAX_STRONGER = 2


class Margins(Config):
    """Margins of the decision."""

    auc_margin: float = Field(0.10, gt=0, lt=0.5)
    """Largest difference in any attack's AUC to what is compared with (equivalence test)."""
    utility_margin: float = Field(0.03, gt=0, lt=1)
    """Largest accuracy lost against the retrained model, as a share; with references against the original."""


class Policy(Margins):
    """How a candidate is judged, and how far the escalation goes by itself."""

    compare_with: Reference = "retrained"
    """What a candidate is compared with: retrained (a model trained again without the forgotten records, which costs as
    much as not unlearning) or references (those trained with the original; nothing is retrained; refused where the
    version has none, and for forget_kind class and cluster)."""
    stronger: int = Field(1, ge=0, le=MAX_STRONGER)
    """Escalated settings to try where a candidate still leaks."""
    on_failure: OnFailure = "retrain"
    """What follows a failed verdict: retrain (train again without the forgotten records, audit that) or stop (leave it
    to a person)."""
    on_inconclusive: OnInconclusive = "retrain"
    """What follows where the audit cannot tell: retrain, stop, accept (let the candidate serve, with a statement that
    it did not pass), accept_retrained (retrain, and accept that), or qualified (let it serve where its method is
    qualified to forget so few records and nothing in the audit speaks against it, otherwise as accept_retrained)."""
