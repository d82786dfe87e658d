"""Check: refuse at once what would otherwise be refused after hours of training."""

from __future__ import annotations

from unlearning import ladder
from unlearning.steps.decide import margins


def check(
    *,
    auc_margin: float,
    utility_margin: float,
    stronger: int,
    on_failure: str,
    on_inconclusive: str,
    compare_with: str = "retrained",
) -> None:
    """Look at the parameters that decide what follows the audit.

    Raises:
        UserError: one has no meaning.
    """
    margins(auc_margin, utility_margin)
    ladder.policy(stronger, on_failure, on_inconclusive)
    ladder.compare_with_named(compare_with)
