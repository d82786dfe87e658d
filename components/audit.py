"""Component: membership-inference attacks on the models of a request."""

from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components.base import component


@component
def audit(
    original: Input[Model],
    candidate: Input[Model],
    retrained: Input[Model],
    references: Input[Artifact],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    forget: Input[Dataset],
    seed: int,
    hardware: dict[str, str],
    audit: Output[Artifact],
    metrics: Output[Metrics],
    roc_before: Output[ClassificationMetrics],
    roc_after: Output[ClassificationMetrics],
    roc_retrained: Output[ClassificationMetrics],
    said_after: Output[ClassificationMetrics],
) -> None:
    """Attack forget set against holdout on every model; ROC curves of the original's strongest attack, and how many
    forgotten records and non-members it calls members of the candidate's training.

    Where references are compared with, there is no retrained model and no curve of one.
    """
    from pathlib import Path

    from unlearning.audit.results import confusion, roc_points
    from unlearning.cluster.workers import Device
    from unlearning.core.config import checked
    from unlearning.steps.audit import audit as step

    found = checked(Device, hardware)
    result = step(
        original_path=Path(original.path),
        candidate_path=Path(candidate.path),
        retrained_path=Path(retrained.path),
        references_path=Path(references.path),
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        forget_path=Path(forget.path),
        seed=seed,
        device=found.device,
        gpus=found.gpu_count,
        audit_path=Path(audit.path),
    )
    for model, audited in result.models.items():
        for attack in audited.attacks:
            metrics.log_metric(f"{model} auc {attack.name}", attack.auc.estimate)
    curves = {"original": roc_before, "candidate": roc_after, "retrained": roc_retrained}
    for model in result.models:
        curves[model].log_roc_curve(*roc_points(result, model))
    matrix = confusion(result, "candidate")
    if matrix is not None:
        said_after.log_confusion_matrix(*matrix)
