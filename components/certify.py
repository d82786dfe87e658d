"""Component: fulfilled requests to signed certificates."""

from kfp.dsl import Metrics, Output

from components.base import component


@component
def certify(grace_days: int, must_be_complete: bool, metrics: Output[Metrics]) -> int:
    """Certify what was fulfilled or purged since; returns how many certificates were made. Fails where a request stays
    without one and `must_be_complete`; the next batch tries again."""
    from datetime import UTC, datetime

    from unlearning.core.errors import UserError
    from unlearning.steps.certify import certify as step

    result = step(now=datetime.now(UTC), grace_days=grace_days)
    metrics.log_metric("certificates", len(result.certificates))
    metrics.log_metric("not certified", len(result.skipped))
    for skipped in result.skipped:
        print(f"request {skipped.request}: {skipped.why}")
    if must_be_complete and result.skipped:
        first = result.skipped[0]
        raise UserError(f"{len(result.skipped)} not certified, the first is {first.request}: {first.why}")
    return len(result.certificates)
