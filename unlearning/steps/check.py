"""Check: refuse at once what would otherwise be refused after hours of training."""

from __future__ import annotations

from unlearning.audit.policy import Policy
from unlearning.audit.references.plan import check_comparable
from unlearning.core.errors import UserError


def check(policy: Policy, forget_kind: str = "random") -> None:
    """Look at what cannot be seen from one parameter alone.

    Raises:
        UserError: references cannot answer for this kind of forget set, or are not compared with though a method is
            qualified by them.
    """
    if policy.on_inconclusive == "qualified" and policy.compare_with != "references":
        raise UserError("on_inconclusive qualified goes by references: give compare_with references")
    if policy.compare_with == "references":
        check_comparable(forget_kind)
