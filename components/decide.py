"""Component: evidence to verdict, and to what follows it."""

from kfp.dsl import Artifact, Input, Markdown, Output

from components.base import component


@component
def decide(
    audit: Input[Artifact],
    evaluation: Input[Artifact],
    auc_margin: float,
    utility_margin: float,
    method: str,
    rung: str,
    stronger: int,
    on_failure: str,
    on_inconclusive: str,
    verdict: Output[Artifact],
    told: Output[Markdown],
) -> str:
    """Equivalent to a model that never saw the records, and as useful? Returns what follows: promote, accept,
    stronger, retrain or person."""
    from pathlib import Path

    from unlearning.steps.decide import decide as step

    decided = step(
        audit_path=Path(audit.path),
        evaluation_path=Path(evaluation.path),
        auc_margin=auc_margin,
        utility_margin=utility_margin,
        method=method,
        rung=rung,
        stronger=stronger,
        on_failure=on_failure,
        on_inconclusive=on_inconclusive,
        verdict_path=Path(verdict.path),
        page_path=Path(told.path),
    )
    judged = decided.verdict
    verdict.metadata.update({"outcome": judged.outcome, "action": decided.action, "reasons": "; ".join(judged.reasons)})
    verdict.metadata["compared_with"] = judged.compared_with
    return str(decided.action)
