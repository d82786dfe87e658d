"""Component: original to accuracies."""

from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.base import component


@component
def evaluate(
    original: Input[Model],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    hardware: dict[str, str],
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Weighted kNN, linear probe and classifier accuracy of the original on test records."""
    from pathlib import Path

    from unlearning.cluster.workers import Device
    from unlearning.core.config import checked
    from unlearning.core.files import write_json
    from unlearning.registry.tags import accuracies_of_all
    from unlearning.steps.evaluate import evaluate as step

    found = checked(Device, hardware)
    report = step(
        model_paths={"original": Path(original.path)},
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        forget_path=None,
        device=found.device,
        gpus=found.gpu_count,
        evaluation_path=Path(evaluation.path),
    )
    for name, value in accuracies_of_all(report).items():
        metrics.log_metric(name, value)
    # kfp.local takes a task from its cache only when every output has a file, and metrics have none by themselves.
    write_json(Path(metrics.path), metrics.metadata)
