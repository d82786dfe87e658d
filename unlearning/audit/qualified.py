"""Whether a candidate that its own audit could not judge may serve because its method is qualified.

Its method must have forgotten many simulated sets of such sizes well, with the same settings on the same original; the
candidate must be the first attempt, since an escalated setting is another one; and nothing in its own audit may speak
against it. What it is compared with are references, as in the qualification.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from unlearning.audit.policy import Margins
from unlearning.audit.qualification_results import Qualification, covering, matching
from unlearning.audit.results import Audit, EvaluationReport
from unlearning.audit.verdict import complete, surely_apart

SUSPICIOUS = 0.05
"""Two-sided level of the test of single records, as of their p-values."""


def qualified_by(
    found: Iterable[Qualification],
    audit: Audit,
    evaluation: EvaluationReport,
    *,
    method: str,
    settings: dict[str, Any],
    attempt: str,
    margins: Margins,
) -> tuple[Qualification, ...]:
    """The qualifications that speak for a candidate; none where it may not serve by any.

    Args:
        found: all that are known of the original.
        audit, evaluation: of the candidate, with references.
        method, settings, attempt: that made it.
        margins: of the policy.
    """
    if attempt != "first" or audit.compared_with != "references" or not complete(audit, evaluation):
        return ()
    if speaks_against(audit, evaluation, margins):
        return ()
    original = audit.models["original"].model
    same = matching(found, original=original, split=audit.split, method=method, settings=settings)
    return covering(same, audit.records["forget"], margins)


def speaks_against(audit: Audit, evaluation: EvaluationReport, margins: Margins) -> list[str]:
    """What of a candidate's own audit says that it did not forget, or lost too much, on however few records.

    Returns:
        In words; nothing where it says nothing of the kind, which with few records it mostly will.
    """
    if audit.diverged:
        return [audit.diverged]
    reasons = surely_apart(audit, margins)
    single = audit.models["candidate"].per_record
    if single is not None and single.towards_members and single.pooled < SUSPICIOUS:
        reasons.append(
            f"record by record they look known: p = {single.pooled:.3f} beside the holdout, below {SUSPICIOUS}"
        )
    reasons += [
        f"{name}: {lost.estimate:+.3f} of accuracy lost, margin {margins.utility_margin}"
        for name, lost in evaluation.utility_lost.items()
        if lost.estimate > margins.utility_margin
    ]
    return reasons
