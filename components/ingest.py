"""Component: data source to snapshot."""

from kfp.dsl import Artifact, Dataset, Output

from components.base import component


@component
def ingest(
    recipe: str,
    overrides: str,
    seed: int,
    erased: str,
    tombstones: str,
    snapshot: Output[Dataset],
    resolved_recipe: Output[Artifact],
) -> str:
    """Read the recipe's data source and keep it as an immutable snapshot; returns its digest.

    The digest `tombstones` is for KFP alone: once it changes, no snapshot of before comes from the cache.
    """
    from pathlib import Path

    from unlearning.steps.ingest import ingest as step

    result = step(
        recipe=recipe,
        overrides=overrides,
        seed=seed,
        erased=erased,
        snapshot_path=Path(snapshot.path),
        recipe_path=Path(resolved_recipe.path),
    )
    counts = {"records": result.records, "duplicates": result.duplicates, "erased": result.erased}
    snapshot.metadata.update({"digest": result.digest, **{name: str(count) for name, count in counts.items()}})
    return result.digest
