"""Component: original to what it shows of simulated sets, each forgotten on it anew."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.base import component


@component
def forget_sets(
    original: Input[Model],
    references: Input[Artifact],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    method: dict[str, str],
    sets: dict[str, str],
    share: str,
    seed: int,
    hardware: dict[str, str],
    part: Output[Artifact],
) -> None:
    """Forget the simulated sets of one task, and measure what every model shows."""
    from pathlib import Path

    from unlearning.audit.qualification.plan import SetsToForget
    from unlearning.cluster.workers import Device
    from unlearning.core.config import checked
    from unlearning.steps.qualify import forget

    found, asked = checked(Device, hardware), checked(SetsToForget, sets)
    forget(
        model_path=Path(original.path),
        references_path=Path(references.path),
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        method=method["method"],
        overrides=method["method_overrides"],
        sizes=asked.sizes,
        sets=asked.sets,
        share=share,
        seed=seed,
        device=found.device,
        gpus=found.gpu_count,
        part_path=Path(part.path),
    )
