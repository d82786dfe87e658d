"""Component: what is withdrawn and past its grace period, really deleted."""

from kfp.dsl import Metrics, Output

from components.base import component


@component
def purge(model_name: str, grace_days: int, run_name: str, kfp_run: str, metrics: Output[Metrics]) -> int:
    """Delete weights and data of withdrawn versions that are due; returns how many objects were removed."""
    from datetime import UTC, datetime

    from unlearning.steps.purge import purge as step

    result = step(now=datetime.now(UTC), model_name=model_name, grace_days=grace_days, owner=run_name or kfp_run)
    metrics.log_metric("versions purged", len(result.versions))
    metrics.log_metric("versions waiting", len(result.waiting))
    metrics.log_metric("bytes", result.bytes)
    return result.objects
