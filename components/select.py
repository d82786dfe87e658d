"""Component: members to forget set."""

from kfp.dsl import Dataset, Input, Output

from components.base import component


@component
def select(
    snapshot: Input[Dataset],
    split: Input[Dataset],
    kind: str,
    fraction: float,
    class_name: str,
    ids: str,
    seed: int,
    batch: str,
    model_name: str,
    forget: Output[Dataset],
) -> int:
    """Choose which members are to be forgotten; returns how many."""
    from pathlib import Path

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
        forget_path=Path(forget.path),
    )
    forget.metadata.update({"digest": result.digest, "records": str(result.records), "kind": kind})
    return result.records
