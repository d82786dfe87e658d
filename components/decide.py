"""Component: evidence to verdict, and to what follows it."""

from kfp.dsl import Artifact, Input, Markdown, Output

from components.base import component


@component
def decide(
    audit: Input[Artifact],
    evaluation: Input[Artifact],
    policy: dict[str, str],
    method: str,
    attempt: str,
    verdict: Output[Artifact],
    explanation: Output[Markdown],
) -> str:
    """Equivalent to a model not trained on the records, and as useful? Returns what follows: serve,
    stronger, retrain or person."""
    from pathlib import Path

    from unlearning.audit.escalation import branch
    from unlearning.audit.policy import Policy
    from unlearning.core.config import checked
    from unlearning.steps.decide import decide as step

    decided = step(
        audit_path=Path(audit.path),
        evaluation_path=Path(evaluation.path),
        policy=checked(Policy, policy),
        method=method,
        attempt=attempt,
        verdict_path=Path(verdict.path),
        page_path=Path(explanation.path),
    )
    judged = decided.verdict
    verdict.metadata.update({"outcome": judged.outcome, "action": decided.action, "reasons": "; ".join(judged.reasons)})
    verdict.metadata["compared_with"] = judged.compared_with
    return branch(decided.action)
