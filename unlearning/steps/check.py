"""Check: refuse at once what would otherwise be refused after hours of training."""

from __future__ import annotations

from unlearning.audit import escalation
from unlearning.compliance.retention.policy import check_grace
from unlearning.core.errors import UserError
from unlearning.steps.decide import margins
from unlearning.steps.references import check_comparable

MOST_HOURS = 24.0 * 60
"""Of a batch's claims: longer ones would keep a request from every other batch until it is overdue."""


def check(
    *,
    auc_margin: float,
    utility_margin: float,
    stronger: int,
    on_failure: str,
    on_inconclusive: str,
    compare_with: str = "retrained",
    forget_kind: str = "random",
) -> None:
    """Look at the parameters that decide what the audit compares with and what follows it.

    Raises:
        UserError: one has no meaning, or references cannot answer for this kind of forget set.
    """
    margins(auc_margin, utility_margin)
    escalation.policy(stronger, on_failure, on_inconclusive)
    if escalation.compare_with_named(compare_with) == "references":
        check_comparable(forget_kind)


def check_batch(*, lease_hours: float, due_within_days: float, grace_days: int) -> None:
    """Look at the times of a compliance batch.

    Raises:
        UserError: one has no meaning.
    """
    if not 0 < lease_hours <= MOST_HOURS:
        raise UserError(f"a lease of {lease_hours:g} hours is not possible: give more than 0, at most {MOST_HOURS:g}")
    if not due_within_days >= 0:
        raise UserError(f"due within {due_within_days:g} days is not possible: give 0 for all, or more")
    check_grace(grace_days)
