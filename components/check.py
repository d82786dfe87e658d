"""Component: parameters of the decision, looked at before any work."""

from components.base import component


@component
def check(
    auc_margin: float,
    utility_margin: float,
    stronger: int,
    on_failure: str,
    on_inconclusive: str,
    compare_with: str,
    forget_kind: str,
) -> None:
    """Refuse margins, a ladder and a comparison that have no meaning, before anything is trained."""
    from unlearning.steps.check import check as step

    step(
        auc_margin=auc_margin,
        utility_margin=utility_margin,
        stronger=stronger,
        on_failure=on_failure,
        on_inconclusive=on_inconclusive,
        compare_with=compare_with,
        forget_kind=forget_kind,
    )
