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
    device: str,
    gpus: int,
    evidence: Output[Artifact],
    page: Output[HTML],
) -> None:
    """Measure gradients, losses, embeddings and neighbours for the paper's figures (open them from this node)."""
    from pathlib import Path

    from unlearning.steps.figures import figures as step

    step(
        original_path=Path(original.path),
        candidate_path=Path(candidate.path),
        retrained_path=Path(retrained.path),
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        forget_path=Path(forget.path),
        device=device,
        gpus=gpus,
        evidence_path=Path(evidence.path),
        page_path=Path(page.path),
    )
