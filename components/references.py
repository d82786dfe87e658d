"""Component: original to some of its reference models."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.base import component


@component
def references(
    original: Input[Model],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    count: int,
    numbers: str,
    hardware: dict[str, str],
    part: Output[Artifact],
) -> None:
    """Train references on halves of the members, and measure what they show of every record."""
    from pathlib import Path

    from unlearning.cluster.workers import Device
    from unlearning.core.config import checked
    from unlearning.steps.references import make

    found = checked(Device, hardware)
    make(
        model_path=Path(original.path),
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        count=count,
        numbers=[int(number) for number in numbers.split()],
        device=found.device,
        gpus=found.gpu_count,
        references_path=Path(part.path),
    )
