"""Component: parts of a set of references to the set."""

from kfp.dsl import Artifact, Input, Metrics, Output

from components.base import component


@component
def gather_references(
    parts: Input[list[Artifact]],
    references: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Put the references of all tasks together."""
    from pathlib import Path

    from unlearning.steps.references import gather

    result = gather(parts=[Path(part.path) for part in parts], references_path=Path(references.path))
    metrics.log_metric("references", result.manifest.count)
    metrics.log_metric("seconds of training", sum(result.manifest.seconds))
