"""Component: parameters of the decision, looked at before any work."""

from components.base import component


@component
def check(policy: dict[str, str], forget_kind: str) -> None:
    """Refuse a policy that has no meaning, before anything is trained."""
    from unlearning.audit.policy import Policy
    from unlearning.core.config import checked
    from unlearning.steps.check import check as step

    step(checked(Policy, policy), forget_kind)
