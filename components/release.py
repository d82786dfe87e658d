"""Component: end of a batch, whatever became of it."""

from components.base import component


@component
def release(batch: str, kfp_run: str, grace_days: int) -> None:
    """Count what the batch has finished and release the claims on what it has not."""
    from datetime import UTC, datetime

    from unlearning.steps.fulfil import release as step

    for result in step(batch=batch or kfp_run, now=datetime.now(UTC), grace_days=grace_days):
        print(f"{len(result.fulfilled)} fulfilled, {len(result.escalated)} escalated, {len(result.released)} released")
