"""Component: failed candidate, kept on record."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.base import component


@component
def reject(
    candidate: Input[Model],
    forget: Input[Dataset],
    audit: Input[Artifact],
    evaluation: Input[Artifact],
    verdict: Input[Artifact],
    registered: dict[str, str],
    parent: str,
    batch: str,
    action: str,
    attempts: Output[Artifact],
    earlier: Input[Artifact] = None,
) -> str:
    """Register the candidate as rejected; champion stays where it is. Returns the version, `none` for a method
    that diverged and so made no model."""
    from pathlib import Path

    from unlearning.steps.promote import evidence_at
    from unlearning.steps.reject import note_diverged
    from unlearning.steps.reject import reject as step

    evidence = evidence_at(
        candidate_path=Path(candidate.path),
        forget_path=Path(forget.path),
        audit_path=Path(audit.path),
        evaluation_path=Path(evaluation.path),
        verdict_path=Path(verdict.path),
        earlier_path=Path(earlier.path) if earlier is not None else None,
    )
    if evidence.made.diverged:
        note_diverged(evidence, action=action, attempts_path=Path(attempts.path))
        return "none"
    version = step(
        evidence,
        model_name=registered["model_name"],
        parent=parent,
        run_name=registered["run_name"] or registered["kfp_run"],
        batch=batch,
        action=action,
        attempts_path=Path(attempts.path),
    )
    return version.version
