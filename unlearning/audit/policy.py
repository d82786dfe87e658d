"""The policy: how a candidate is judged, and what follows its verdict.

Written once for the form, the command line, the tasks and the docs. A new parameter is a field here and the place
where it acts: tasks are handed the policy as a whole.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from unlearning.audit.references.plan import check_count
from unlearning.audit.results import Reference, Verdict
from unlearning.core.config import Config

OnFailure = Literal["retrain", "stop"]
OnInconclusive = Literal["retrain", "stop", "accept", "accept_retrained", "qualified"]
MAX_STRONGER = 2


def _possible_count(count: int) -> int:
    check_count(count, "unlearned_references")
    return count


class Margins(Config):
    """Margins of the decision."""

    auc_margin: float = Field(0.05, gt=0, lt=0.5)
    """Largest difference in any attack's AUC to what is compared with (equivalence test)."""
    record_margin: float = Field(0.05, gt=0, lt=1)
    """Largest share of forgotten records, beyond what references show, that may be recognised at 1 % false positives,
    known too well, or known too little; where there are references."""
    memory_margin: float = Field(0.25, gt=0, lt=1)
    """Largest difference in individual memory (the slope on what training taught of each record: about .1 never
    trained, .8 untouched) to what references show."""
    utility_margin: float = Field(0.03, gt=0, lt=1)
    """Largest accuracy lost against the retrained model, as a share; with references against the original."""

    @classmethod
    def of(cls, verdict: Verdict) -> Margins:
        """Those by which a verdict was given."""
        return Margins(**{name: getattr(verdict, name) for name in Margins.model_fields})


class Policy(Margins):
    """How a candidate is judged, and how far the escalation goes by itself."""

    compare_with: Reference = "retrained"
    """What a candidate is compared with: retrained (a model trained again without the forgotten records, which costs as
    much as not unlearning) or references (those trained with the original; nothing is retrained; refused where the
    version has none, and for forget_kind class and cluster)."""
    unlearned_references: Annotated[int, AfterValidator(_possible_count)] = 0
    """References that are made to forget the same records by the same method, for the attack u_lira (even, 8 or more,
    at most as many as the original has; 0 for none). Each audit of an attempt then takes as long as half as many
    unlearnings more."""
    stronger: int = Field(1, ge=0, le=MAX_STRONGER)
    """Escalated settings to try where a candidate still leaks."""
    on_failure: OnFailure = "retrain"
    """What follows a failed verdict: retrain (train again without the forgotten records, audit that) or stop (leave it
    to a person)."""
    on_inconclusive: OnInconclusive = "retrain"
    """What follows where the audit cannot tell: retrain, stop, accept (let the candidate serve, with a statement that
    it did not pass), accept_retrained (retrain, and accept that), or qualified (let it serve where its method is
    qualified to forget so few records and nothing in the audit speaks against it, otherwise as accept_retrained)."""
