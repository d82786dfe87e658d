"""Component: open requests to a batch."""

from kfp.dsl import Artifact, Metrics, Output

from components.base import component


@component
def collect(
    batch: str,
    lease_hours: float,
    due_within_days: float,
    model_name: str,
    grace_days: int,
    work: Output[Artifact],
    metrics: Output[Metrics],
) -> list[str]:
    """Look up and claim what is to be honoured now; returns the models that have something to forget."""
    from datetime import UTC, datetime
    from pathlib import Path

    from unlearning.core.files import write_json
    from unlearning.steps.collect import collect as step

    result = step(
        batch=batch,
        now=datetime.now(UTC),
        lease_hours=lease_hours,
        due_within_days=due_within_days,
        model_name=model_name,
        grace_days=grace_days,
    )
    write_json(Path(work.path), result.told())
    for name, count in result.counts().items():
        metrics.log_metric(name, count)
    for skipped in result.skipped:
        print(f"request {skipped.request}: {skipped.why}")
    return result.left
