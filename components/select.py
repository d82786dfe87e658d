"""Component: members to forget set."""

from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.base import component


@component
def select(
    model: Input[Model],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    forget_selection: dict[str, str],
    seed: int,
    batch: str,
    model_name: str,
    hardware: dict[str, str],
    forget: Output[Dataset],
    near_duplicates: Output[Artifact],
    metrics: Output[Metrics],
) -> int:
    """Choose which members are to be forgotten, and look for others that nearly repeat them; returns how many."""
    from pathlib import Path

    from unlearning.cluster.workers import Device
    from unlearning.core.config import checked
    from unlearning.core.files import write_json
    from unlearning.data.forget_selection import ForgetSelection
    from unlearning.steps.select import select as step

    found, chosen = checked(Device, hardware), checked(ForgetSelection, forget_selection)
    result = step(
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        kind=chosen.forget_kind,
        fraction=chosen.forget_fraction,
        class_name=chosen.forget_class,
        ids=chosen.forget_ids,
        seed=seed,
        batch=batch,
        model_name=model_name,
        model_path=Path(model.path),
        include_near_duplicates=chosen.include_near_duplicates,
        device=found.device,
        gpus=found.gpu_count,
        forget_path=Path(forget.path),
        near_duplicates_path=Path(near_duplicates.path),
    )
    forget.metadata.update({"digest": result.digest, "records": str(result.records), "kind": chosen.forget_kind})
    metrics.log_metric("records", result.records)
    if result.near_duplicates is not None:
        metrics.log_metric("near-duplicates found", result.near_duplicates.repeated)
        metrics.log_metric("near-duplicates included", result.near_duplicates.repeated * chosen.include_near_duplicates)
        metrics.log_metric("others alike to the model", result.near_duplicates.alike)
    # kfp.local takes a task from its cache only when every output has a file, and metrics have none by themselves.
    write_json(Path(metrics.path), metrics.metadata)
    return result.records
