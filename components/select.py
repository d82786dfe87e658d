"""Component: members to forget set."""

from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.base import component


@component
def select(
    model: Input[Model],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    kind: str,
    fraction: float,
    class_name: str,
    ids: str,
    include_near_duplicates: bool,
    seed: int,
    batch: str,
    model_name: str,
    device: str,
    gpus: int,
    forget: Output[Dataset],
    near_duplicates: Output[Artifact],
    metrics: Output[Metrics],
) -> int:
    """Choose which members are to be forgotten, and look for others that nearly repeat them; returns how many."""
    from pathlib import Path

    from unlearning.core.files import write_json
    from unlearning.steps.select import select as step

    result = step(
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        kind=kind,
        fraction=fraction,
        class_name=class_name,
        ids=ids,
        seed=seed,
        batch=batch,
        model_name=model_name,
        model_path=Path(model.path),
        include_near_duplicates=include_near_duplicates,
        device=device,
        gpus=gpus,
        forget_path=Path(forget.path),
        near_duplicates_path=Path(near_duplicates.path),
    )
    forget.metadata.update({"digest": result.digest, "records": str(result.records), "kind": kind})
    metrics.log_metric("records", result.records)
    if result.near_duplicates is not None:
        metrics.log_metric("near-duplicates found", result.near_duplicates.found)
        metrics.log_metric("near-duplicates included", result.near_duplicates.found * include_near_duplicates)
        metrics.log_metric("others alike to the model", result.near_duplicates.alike)
    # kfp.local takes a task from its cache only when every output has a file, and metrics have none by themselves.
    write_json(Path(metrics.path), metrics.metadata)
    return result.records
