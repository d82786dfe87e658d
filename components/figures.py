"""Component: what the models of a finished run show of its records, measured and drawn."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from components.base import component


@component
def figures(
    original: Input[Model],
    candidate: Input[Model],
    retrained: Input[Model],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    forget: Input[Dataset],
    hardware: dict[str, str],
    evidence: Output[Artifact],
    page: Output[HTML],
) -> None:
    """Measure gradients, losses, embeddings and neighbours for the paper's figures (open them from this node)."""
    from pathlib import Path

    from unlearning.cluster.workers import Device
    from unlearning.core.config import checked
    from unlearning.steps.figures import figures as step

    found = checked(Device, hardware)
    step(
        original_path=Path(original.path),
        candidate_path=Path(candidate.path),
        retrained_path=Path(retrained.path),
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        forget_path=Path(forget.path),
        device=found.device,
        gpus=found.gpu_count,
        evidence_path=Path(evidence.path),
        page_path=Path(page.path),
    )
