"""Component: a finished unlearning to what became of the requests it was for."""

from kfp.dsl import Metrics, Output

from components.base import component


@component
def fulfil(batch: str, model_name: str, grace_days: int, metrics: Output[Metrics]) -> int:
    """Write to the ledger what became of every request, set tombstones, and withdraw what holds the records;
    returns how many requests were fulfilled."""
    from datetime import UTC, datetime

    from unlearning.steps.fulfil import fulfil as step

    result = step(batch=batch, model=model_name, now=datetime.now(UTC), grace_days=grace_days)
    for name in ("fulfilled", "escalated", "released"):
        metrics.log_metric(name, len(getattr(result, name)))
    return len(result.fulfilled)
