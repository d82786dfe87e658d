"""Component: versions that hold what a newer one has forgotten, taken out of use."""

from components.base import component


@component
def withdraw(model_name: str, version: str, requests: list[str], grace_days: int, run_name: str, kfp_run: str) -> int:
    """Withdraw every older version that holds what `version` forgot for the requests; returns how many there are."""
    from datetime import UTC, datetime

    from unlearning.steps.withdraw import withdraw as step

    result = step(
        model_name=model_name,
        version=version,
        requests=requests,
        now=datetime.now(UTC),
        grace_days=grace_days,
        owner=run_name or kfp_run,
    )
    return len(result.versions)
