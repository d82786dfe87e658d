"""Component: candidate that may serve to champion."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.base import component


@component
def promote(
    candidate: Input[Model],
    forget: Input[Dataset],
    audit: Input[Artifact],
    evaluation: Input[Artifact],
    verdict: Input[Artifact],
    registered: dict[str, str],
    parent: str,
    batch: str,
    policy: dict[str, str],
    attempts: Output[Artifact],
    earlier: Input[Artifact] = None,
) -> str:
    """Register the candidate, linked to its parent, and let it serve; returns the version."""
    from pathlib import Path

    from unlearning.audit.policy import Policy
    from unlearning.core.config import checked
    from unlearning.steps.promote import evidence_at
    from unlearning.steps.promote import promote as step

    evidence = evidence_at(
        candidate_path=Path(candidate.path),
        forget_path=Path(forget.path),
        audit_path=Path(audit.path),
        evaluation_path=Path(evaluation.path),
        verdict_path=Path(verdict.path),
        earlier_path=Path(earlier.path) if earlier is not None else None,
    )
    version = step(
        evidence,
        model_name=registered["model_name"],
        parent=parent,
        run_name=registered["run_name"] or registered["kfp_run"],
        batch=batch,
        policy=checked(Policy, policy),
        attempts_path=Path(attempts.path),
    )
    return version.version
