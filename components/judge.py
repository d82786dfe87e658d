"""Component: a candidate, attacked, measured and judged."""

from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Markdown, Metrics, Model, Output

from components.base import component


@component
def judge(
    original: Input[Model],
    candidate: Input[Model],
    retrained: Input[Model],
    references: Input[Artifact],
    forgotten_before: Input[Dataset],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    forget: Input[Dataset],
    policy: dict[str, str],
    method: dict[str, str],
    attempt: str,
    hardware: dict[str, str],
    judged: Output[Artifact],
    metrics: Output[Metrics],
    explanation: Output[Markdown],
    figures: Output[HTML],
    roc_before: Output[ClassificationMetrics],
    roc_after: Output[ClassificationMetrics],
    roc_retrained: Output[ClassificationMetrics],
    said_after: Output[ClassificationMetrics],
) -> str:
    """Audit, evaluate and decide: membership-inference attacks on forget set against holdout, accuracy on test
    records, the verdict, and the paper's figures; returns the action that follows.

    `judged` is a folder with all of it. ROC curves are of the original's strongest attack; `said_after` counts whom it
    calls members of the candidate's training. Without a retrained model there is no curve of one.
    """
    from pathlib import Path
    from typing import Any

    from unlearning.audit.policy import Policy
    from unlearning.audit.results import auc_metrics, confusion, roc_points
    from unlearning.cluster.workers import Device
    from unlearning.core.config import checked
    from unlearning.core.files import new_folder
    from unlearning.registry.tags import accuracies_of_all
    from unlearning.reporting.evidence import EvidenceFolder
    from unlearning.steps.audit import audit
    from unlearning.steps.decide import decide
    from unlearning.steps.evaluate import evaluate
    from unlearning.steps.figures import figures as draw

    found, asked = checked(Device, hardware), checked(Policy, policy)
    models = {"original": Path(original.path), "candidate": Path(candidate.path), "retrained": Path(retrained.path)}
    given: dict[str, Any] = {
        "snapshot_path": Path(snapshot.path),
        "split_path": Path(split.path),
        "forget_path": Path(forget.path),
        "device": found.device,
        "gpus": found.gpu_count,
    }
    paths: dict[str, Any] = {f"{name}_path": path for name, path in models.items()}
    with new_folder(Path(judged.path)) as folder:
        files = EvidenceFolder(folder)
        asks: dict[str, Any] = {"references_path": Path(references.path), "seed": int(method["seed"])}
        asks["unlearned_references"] = asked.unlearned_references
        asks["forgotten_before_path"] = Path(forgotten_before.path)
        audited = audit(**paths, **given, **asks, audit_path=files.audit)
        evaluated = evaluate(model_paths=models, **given, evaluation_path=files.evaluation)
        decided = decide(
            **files.judged(),
            policy=asked,
            method=method["method"],
            attempt=attempt,
            candidate_path=models["candidate"],
            page_path=Path(explanation.path),
        )
        draw(**paths, **given, evidence_path=files.inspection, page_path=Path(figures.path))
        files.keep_provenance(models["candidate"])
    verdict = decided.verdict
    judged.metadata.update(outcome=verdict.outcome, action=decided.action, compared_with=verdict.compared_with)
    judged.metadata["reasons"] = "; ".join(verdict.reasons)
    for name, value in (auc_metrics(audited) | accuracies_of_all(evaluated)).items():
        metrics.log_metric(name, value)
    curves = {"original": roc_before, "candidate": roc_after, "retrained": roc_retrained}
    for model in audited.models:
        curves[model].log_roc_curve(*roc_points(audited, model))
    if (matrix := confusion(audited, "candidate")) is not None:
        said_after.log_confusion_matrix(*matrix)
    return decided.action
