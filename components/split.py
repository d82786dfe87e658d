"""Component: snapshot to split."""

from kfp.dsl import Artifact, Dataset, Input, Output

from components.base import component


@component
def split(snapshot: Input[Dataset], resolved_recipe: Input[Artifact], seed: int, split: Output[Dataset]) -> str:
    """Divide the snapshot into members, calibration, holdout and test; returns the split's digest."""
    from pathlib import Path

    from unlearning.steps.split import split as step

    result = step(
        snapshot_path=Path(snapshot.path),
        recipe_path=Path(resolved_recipe.path),
        seed=seed,
        split_path=Path(split.path),
    )
    split.metadata.update({"digest": result.digest, **{part: str(size) for part, size in result.sizes.items()}})
    return result.digest
