"""Component: open requests to a batch."""

from kfp.dsl import Artifact, Metrics, Output

from components.base import component


@component
def collect(
    batch: str,
    requests: dict[str, str],
    work: Output[Artifact],
    metrics: Output[Metrics],
) -> list[str]:
    """Look up and claim what is to be honoured now; returns the models that have something to forget."""
    from datetime import UTC, datetime
    from pathlib import Path

    from unlearning.compliance.batches.parameters import BatchParameters
    from unlearning.core.config import checked
    from unlearning.core.files import write_json
    from unlearning.steps.collect import collect as step

    result = step(
        batch=batch,
        now=datetime.now(UTC),
        **checked(BatchParameters, requests).model_dump(),
    )
    write_json(Path(work.path), result.batch.model_dump(mode="json"))
    for name, count in result.counts().items():
        metrics.log_metric(name, count)
    for damaged in result.batch.damaged:
        print(damaged)
    for skipped in result.skipped:
        print(f"request {skipped.request}: {skipped.why}")
    for undone in result.undone:
        print(undone)
    return result.left
