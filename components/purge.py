"""Component: what is left of erased records, after the grace period, to nothing."""

from kfp.dsl import Metrics, Output

from components.base import component


@component
def purge(grace_days: int, metrics: Output[Metrics]) -> int:
    """Delete what withdrawn versions hold and nothing that serves stands for; returns how many objects."""
    from datetime import UTC, datetime

    from unlearning.steps.purge import purge as step

    result = step(now=datetime.now(UTC), grace_days=grace_days)
    metrics.log_metric("objects", result.objects)
    metrics.log_metric("versions", len(result.versions))
    return result.objects
