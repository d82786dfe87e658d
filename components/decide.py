"""Component: evidence to verdict."""

from kfp.dsl import Artifact, Input, Output

from components.base import component


@component
def decide(
    audit: Input[Artifact],
    evaluation: Input[Artifact],
    auc_margin: float,
    utility_margin: float,
    verdict: Output[Artifact],
) -> str:
    """Equivalent to the retrained model, and as useful? Returns passed, leaks, over_forgotten,
    utility_lost or inconclusive."""
    from pathlib import Path

    from unlearning.steps.decide import decide as step

    result = step(
        audit_path=Path(audit.path),
        evaluation_path=Path(evaluation.path),
        auc_margin=auc_margin,
        utility_margin=utility_margin,
        verdict_path=Path(verdict.path),
    )
    verdict.metadata.update({"outcome": result.outcome, "reasons": "; ".join(result.reasons)})
    return str(result.outcome)
