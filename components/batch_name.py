"""Component: parameters of a compliance batch, looked at before any work, and its name."""

from components.base import component


@component
def batch_name(
    batch: str,
    kfp_run: str,
    auc_margin: float,
    utility_margin: float,
    stronger: int,
    on_failure: str,
    on_inconclusive: str,
    compare_with: str,
    lease_hours: float,
    due_within_days: float,
    grace_days: int,
) -> str:
    """Refuse parameters that have no meaning; returns the batch's id, by default the run's name."""
    from unlearning.compliance.batches.store import check_id
    from unlearning.steps.check import check, check_batch

    check(
        auc_margin=auc_margin,
        utility_margin=utility_margin,
        stronger=stronger,
        on_failure=on_failure,
        on_inconclusive=on_inconclusive,
        compare_with=compare_with,
    )
    check_batch(lease_hours=lease_hours, due_within_days=due_within_days, grace_days=grace_days)
    return check_id(batch or kfp_run)
