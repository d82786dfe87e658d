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
    model_name: str,
    parent: str,
    run_name: str,
    kfp_run: str,
    batch: str,
    on_inconclusive: str,
    ladder: Output[Artifact],
    earlier: Input[Artifact] = None,
) -> str:
    """Register the candidate, linked to its parent, and let it serve; returns the version."""
    from pathlib import Path

    from unlearning.steps.promote import Evidence
    from unlearning.steps.promote import promote as step

    evidence = Evidence(
        candidate_path=Path(candidate.path),
        forget_path=Path(forget.path),
        audit_path=Path(audit.path),
        evaluation_path=Path(evaluation.path),
        verdict_path=Path(verdict.path),
        earlier_path=Path(earlier.path) if earlier is not None else None,
    )
    version = step(
        evidence,
        model_name=model_name,
        parent=parent,
        run_name=run_name or kfp_run,
        batch=batch,
        on_inconclusive=on_inconclusive,
        ladder_path=Path(ladder.path),
    )
    return version.version
