"""Component: registered version to model, snapshot and split."""

from kfp.dsl import Artifact, Dataset, Model, Output

from components.base import component


@component
def resolve(
    model_name: str,
    version: str,
    policy: dict[str, str],
    model: Output[Model],
    snapshot: Output[Dataset],
    split: Output[Dataset],
    references: Output[Artifact],
) -> str:
    """Fetch the version that is to forget, with what it was trained on; returns its number."""
    from pathlib import Path

    from unlearning.audit.policy import Policy
    from unlearning.core.config import checked
    from unlearning.steps.resolve import resolve as step

    result = step(
        model_name=model_name,
        version=version,
        compare_with=checked(Policy, policy).compare_with,
        model_path=Path(model.path),
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        references_path=Path(references.path),
    )
    model.metadata.update({"digest": result.digest, "version": result.version})
    references.metadata["count"] = result.references
    return result.version
