"""Component: a finished run to one page and one JSON document."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components.base import component


@component
def report(
    original: Input[Model],
    candidate: Input[Model],
    retrained: Input[Model],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    forget: Input[Dataset],
    audit: Input[Artifact],
    evaluation: Input[Artifact],
    verdict: Input[Artifact],
    registered: dict[str, str],
    original_version: str,
    attempts: Input[Artifact],
    evidence: Input[Artifact],
    page: Output[HTML],
    summary: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Write the report as a page (open it from this node) and as JSON."""
    from pathlib import Path

    from unlearning.reporting.summarise import ReportInputs
    from unlearning.steps.report import report as step

    inputs = ReportInputs(
        original_path=Path(original.path),
        candidate_path=Path(candidate.path),
        retrained_path=Path(retrained.path),
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        forget_path=Path(forget.path),
        audit_path=Path(audit.path),
        evaluation_path=Path(evaluation.path),
        verdict_path=Path(verdict.path),
        attempts_path=Path(attempts.path),
        evidence_path=Path(evidence.path),
        model_name=registered["model_name"],
        original_version=original_version,
        run_name=registered["run_name"] or registered["kfp_run"],
    )
    result = step(inputs, summary_path=Path(summary.path), page_path=Path(page.path))
    for model, each in result.models.items():
        metrics.log_metric(f"{model} seconds", each.seconds)
        metrics.log_metric(f"{model} knn", each.accuracies.knn.estimate)
