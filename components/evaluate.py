"""Component: models to accuracies."""

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
    candidate: Input[Model] = None,
    retrained: Input[Model] = None,
    forget: Input[Dataset] = None,
) -> None:
    """Weighted kNN, linear probe and classifier accuracy on test records, for each model given."""
    from pathlib import Path

    from unlearning.cluster.workers import Device
    from unlearning.core.config import checked
    from unlearning.core.files import write_json
    from unlearning.registry.tags import accuracy_metrics
    from unlearning.steps.evaluate import evaluate as step

    found = checked(Device, hardware)
    given = {"original": original, "candidate": candidate, "retrained": retrained}
    report = step(
        model_paths={name: Path(model.path) for name, model in given.items() if model is not None},
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        forget_path=Path(forget.path) if forget is not None else None,
        device=found.device,
        gpus=found.gpu_count,
        evaluation_path=Path(evaluation.path),
    )
    for model in report.models:
        for name, value in accuracy_metrics(report, model).items():
            metrics.log_metric(f"{model} {name}", value)
    # kfp.local takes a task from its cache only when every output has a file, and metrics have none by themselves.
    write_json(Path(metrics.path), metrics.metadata)
