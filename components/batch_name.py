"""Component: parameters of a compliance batch, looked at before any work, and its name."""

from components.base import component


@component
def batch_name(batch: str, kfp_run: str, policy: dict[str, str], requests: dict[str, str]) -> str:
    """Refuse parameters that have no meaning and a key that does not count; returns the batch's id, by default the
    run's."""
    from datetime import UTC, datetime

    from unlearning.audit.policy import Policy
    from unlearning.compliance.batches.parameters import BatchParameters
    from unlearning.compliance.batches.store import check_id
    from unlearning.compliance.certificates.keyring import signer
    from unlearning.core.config import checked
    from unlearning.steps.check import check

    check(checked(Policy, policy))
    checked(BatchParameters, requests)
    signer(datetime.now(UTC))
    return check_id(batch or kfp_run)
