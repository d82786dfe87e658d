"""Component: a judged candidate to its version in MLflow, to the report, and to the next attempt."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components.base import component


@component
def conclude(
    original: Input[Model],
    candidate: Input[Model],
    retrained: Input[Model],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    forget: Input[Dataset],
    judged: Input[Artifact],
    action: str,
    attempt: str,
    policy: dict[str, str],
    registered: dict[str, str],
    attempts: Output[Artifact],
    page: Output[HTML],
    summary: Output[Artifact],
    metrics: Output[Metrics],
    earlier: Input[Artifact] = None,
) -> str:
    """Register the candidate and let it serve, or keep it as rejected; returns the next attempt, `none` for no other.

    `attempts` is a folder with every attempt so far and the evidence that the report shows. After the last one the
    report is written, as a page (open it from this node) and as JSON.
    """
    from pathlib import Path

    from unlearning.audit.escalation import NO_ATTEMPT, RETRAINED, SERVING, action_named, next_attempt
    from unlearning.audit.policy import Policy
    from unlearning.core.config import checked
    from unlearning.core.files import new_folder, write_text
    from unlearning.reporting.evidence import AttemptsFolder, EvidenceFolder
    from unlearning.reporting.phrases import ANOTHER_FOLLOWS
    from unlearning.reporting.summarise import ReportInputs
    from unlearning.steps.promote import evidence_at, promote
    from unlearning.steps.reject import note_diverged, reject
    from unlearning.steps.report import report

    files, follows = EvidenceFolder(Path(judged.path)), next_attempt(action_named(action), attempt)
    before = AttemptsFolder(Path(earlier.path)) if earlier is not None else None
    evidence = evidence_at(
        candidate_path=Path(candidate.path),
        forget_path=Path(forget.path),
        **files.judged(),
        earlier_path=before.attempts if before is not None else None,
    )
    with new_folder(Path(attempts.path)) as folder:
        known = AttemptsFolder(folder)
        if action in SERVING:
            promote(evidence, **registered, policy=checked(Policy, policy), attempts_path=known.attempts)
        elif evidence.made.diverged:
            note_diverged(evidence, action=action, attempts_path=known.attempts)
        else:
            reject(evidence, **registered, action=action, attempts_path=known.attempts)
        # What was retrained exactly stands beside the last candidate that a method made.
        known.show(before.shown if before is not None and attempt == RETRAINED else files)
    if follows != NO_ATTEMPT:
        write_text(Path(page.path), ANOTHER_FOLLOWS)
        return follows
    inputs = ReportInputs(
        original_path=Path(original.path),
        retrained_path=Path(retrained.path),
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        forget_path=Path(forget.path),
        **AttemptsFolder(Path(attempts.path)).report_paths(),
        model_name=registered["model_name"],
        original_version=registered["parent"],
        run_name=registered["run_name"],
    )
    told = report(inputs, summary_path=Path(summary.path), page_path=Path(page.path))
    for model, each in told.models.items():
        metrics.log_metric(f"{model} seconds", each.seconds)
        metrics.log_metric(f"{model} knn", each.accuracies.knn.estimate)
    return follows
