"""Component: members to model."""

from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.base import component


@component
def pretrain(
    snapshot: Input[Dataset],
    split: Input[Dataset],
    resolved_recipe: Input[Artifact],
    seed: int,
    hardware: dict[str, str],
    model: Output[Model],
    metrics: Output[Metrics],
) -> str:
    """Train the recipe's model on the members; returns the digest of its weights."""
    from pathlib import Path

    from unlearning.cluster.workers import Hardware
    from unlearning.core.config import checked
    from unlearning.core.files import write_json
    from unlearning.steps.pretrain import pretrain as step

    found = checked(Hardware, hardware)
    result = step(
        wanted=found.workers,
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        recipe_path=Path(resolved_recipe.path),
        seed=seed,
        device=found.device,
        gpus=found.gpu_count,
        model_path=Path(model.path),
    )
    model.metadata.update({"digest": result.digest, "device": result.device})
    metrics.log_metric("seconds", result.seconds)
    # kfp.local takes a task from its cache only when every output has a file, and metrics have none by themselves.
    write_json(Path(metrics.path), metrics.metadata)
    return result.digest
