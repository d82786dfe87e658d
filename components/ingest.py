"""Component: data source to snapshot."""

from kfp.dsl import Artifact, Dataset, Output

from components.base import component


@component
def ingest(recipe: str, overrides: str, seed: int, snapshot: Output[Dataset], resolved_recipe: Output[Artifact]) -> str:
    """Read the recipe's data source and keep it as an immutable snapshot; returns its digest."""
    from pathlib import Path

    from unlearning.steps.ingest import ingest as step

    result = step(
        recipe=recipe,
        overrides=overrides,
        seed=seed,
        snapshot_path=Path(snapshot.path),
        recipe_path=Path(resolved_recipe.path),
    )
    snapshot.metadata.update(
        {"digest": result.digest, "records": str(result.records), "duplicates": str(result.duplicates)}
    )
    return result.digest
