"""Purge: what was withdrawn and is past its grace period is really deleted."""

from __future__ import annotations

from datetime import datetime

from unlearning.compliance.batches.parameters import GRACE_DAYS
from unlearning.compliance.retention.purge import PurgeResult
from unlearning.compliance.retention.purge import purge as delete_what_is_due


def purge(*, now: datetime, model_name: str = "", grace_days: int = GRACE_DAYS, owner: str = "purge") -> PurgeResult:
    """Delete what is due, and tag the versions. Repeating it is safe, after a crash too.

    Args:
        now: with a time zone.
        model_name: only versions of this model; empty for all.
        grace_days: after which a checkpoint is stale, and data with erased records is due that no version stood for.
        owner: names the work in the lock of promotions.

    Raises:
        UserError: a parameter is not possible, a service does not answer, or a promotion is at work.
    """
    return delete_what_is_due(now=now, model_name=model_name, grace_days=grace_days, owner=owner)
