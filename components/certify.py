"""Component: fulfilled requests to signed certificates."""

from kfp.dsl import Metrics, Output

from components.base import component


@component
def certify(grace_days: int, metrics: Output[Metrics]) -> int:
    """Certify what was fulfilled or purged since; returns how many certificates were made."""
    from datetime import UTC, datetime

    from unlearning.steps.certify import certify as step

    result = step(now=datetime.now(UTC), grace_days=grace_days)
    metrics.log_metric("certificates", len(result.certificates))
    metrics.log_metric("not certified", len(result.skipped))
    for skipped in result.skipped:
        print(f"request {skipped.request}: {skipped.why}")
    return len(result.certificates)
