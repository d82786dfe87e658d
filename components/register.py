"""Component: original to MLflow version."""

from kfp.dsl import Artifact, Dataset, Input, Model

from components.base import component


@component
def register(
    model: Input[Model],
    split: Input[Dataset],
    references: Input[Artifact],
    evaluation: Input[Artifact],
    registered: dict[str, str],
) -> str:
    """Register the original in MLflow and let it serve as `champion`; returns the version."""
    from pathlib import Path

    from unlearning.steps.register import register as step

    version = step(
        model_path=Path(model.path),
        split_path=Path(split.path),
        references_path=Path(references.path),
        evaluation_path=Path(evaluation.path),
        model_name=registered["model_name"],
        run_name=registered["run_name"] or registered["kfp_run"],
    )
    return version.version
