"""Collect: which requests are to be honoured now, looked up and claimed, grouped by model."""

from __future__ import annotations

from datetime import datetime, timedelta

from unlearning.compliance.batches import store as batches
from unlearning.compliance.batches.collect import Collection, CollectResult
from unlearning.compliance.batches.parameters import GRACE_DAYS, BatchParameters
from unlearning.compliance.batches.store import Skipped
from unlearning.compliance.requests import open_requests
from unlearning.core import settings
from unlearning.core.config import checked
from unlearning.registry.client import Registry
from unlearning.storage.open import open_store


def collect(
    *,
    batch: str,
    now: datetime,
    lease_hours: float = 24.0,
    due_within_days: float = 0.0,
    model_name: str = "",
    grace_days: int = GRACE_DAYS,
    most_models: int = 0,
) -> CollectResult:
    """Look up every open request, settle what needs no unlearning, and claim the rest for this batch.

    A batch that was collected before goes on with what is left of it: a run that is tried again finds the same
    requests, but for those that it has settled, or that others have taken meanwhile. Models on which another
    batch works are left to the next one, and so is what arrives from now on.

    Args:
        batch: id of the batch, the run's name.
        now: with a time zone.
        lease_hours: how long the claims last; more than the run can take.
        due_within_days: only requests due so soon; 0 for all.
        model_name: only what concerns this model; empty for all.
        grace_days: how long versions are kept that are withdrawn because a batch that died had replaced them.
        most_models: that are claimed; 0 for all.

    Raises:
        UserError: the store or the registry cannot be used, or a parameter has no meaning.
    """
    batches.check_id(batch)
    checked(
        BatchParameters,
        {
            "lease_hours": lease_hours,
            "due_within_days": due_within_days,
            "grace_days": grace_days,
            "most_models": most_models,
        },
    )
    where = settings.from_environment()
    store = open_store(where.store)
    made = batches.find(store, batch)
    until = now + timedelta(hours=lease_hours)
    work = Collection(store, Registry(where.tracking_uri), batch, until, now)
    if made is not None:
        work.go_on(made, grace_days)
        return work.result
    found = open_requests.collect(store, mend=True)
    if work.recover(found.states, grace_days):
        found = open_requests.collect(store, mend=True)
    work.result.skipped += [Skipped(request=each.request, why=each.why) for each in found.unusable]
    latest = now + timedelta(days=due_within_days)
    work.look_up([state for state in found.states if not due_within_days or state.due <= latest], grace_days)
    work.claim_models(work.busy(found.states), model_name, most_models)
    work.result.batch = batches.keep(store, work.result.finished())
    return work.result
