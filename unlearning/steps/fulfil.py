"""Fulfil: a batch's work on a model, told to every request that it was for; and the same when a batch gave up.

What happened is read from the registry, never from what a task says: a batch may have died at any point, and its
task may be repeated. A request counts as fulfilled when what serves of the model stands for data without its
records, and there is the version that was audited without them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from unlearning.compliance.batches import store as batches
from unlearning.compliance.batches.parameters import GRACE_DAYS
from unlearning.compliance.batches.reconcile import FulfilResult, reconcile
from unlearning.core import settings
from unlearning.registry.client import Registry
from unlearning.storage.open import open_store


def fulfil(*, batch: str, model: str, now: datetime, grace_days: int = GRACE_DAYS) -> FulfilResult:
    """Say what a finished unlearning means for the batch's requests: fulfilled, or left to a person.

    What serves no more is withdrawn. Repeating it changes nothing.

    Args:
        batch, model: of one run of the unlearning pipeline, which has ended.
        now: with a time zone.
        grace_days: how long withdrawn versions are kept.

    Raises:
        UserError: no such batch, or a service cannot be used.
    """
    where = settings.from_environment()
    store, registry = open_store(where.store), Registry(where.tracking_uri)
    batches.load(store, batch).of(model)
    return reconcile(store, registry, batch=batch, model=model, now=now, grace_days=grace_days, otherwise="escalate")


def release(*, batch: str, now: datetime, grace_days: int = GRACE_DAYS) -> list[FulfilResult]:
    """End a batch, whatever became of it: what it has finished counts, the rest is left to the next one.

    Raises:
        UserError: a service cannot be used; the claims then end by themselves.
    """
    where = settings.from_environment()
    store, registry = open_store(where.store), Registry(where.tracking_uri)
    made = batches.find(store, batch)
    models = [each.model for each in made.models] if made else []
    given: dict[str, Any] = {"batch": batch, "now": now, "grace_days": grace_days, "otherwise": "release"}
    return [reconcile(store, registry, model=model, **given) for model in models]
