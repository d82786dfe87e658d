"""Decide: does the evidence say "forgotten, and still useful", and what follows if not?"""

from __future__ import annotations

from pathlib import Path

from unlearning.audit import escalation
from unlearning.audit.escalation import Action
from unlearning.audit.policy import Policy
from unlearning.audit.results import Verdict, load_audit, load_evaluation
from unlearning.audit.verdict import complete, verdict_of
from unlearning.core.config import Config
from unlearning.core.files import write_json, write_text
from unlearning.recipes.escalated import can_be_escalated
from unlearning.reporting import verdict_markdown


class Decision(Config):
    """A verdict, and what follows it."""

    action: Action
    verdict: Verdict


def decide(
    *,
    audit_path: Path,
    evaluation_path: Path,
    policy: Policy,
    method: str,
    attempt: str = "first",
    verdict_path: Path,
    page_path: Path | None = None,
) -> Decision:
    """Judge the candidate, write the verdict, and say what follows it.

    Args:
        policy: how it is judged, and what follows.
        method: whose settings would be escalated.
        attempt: what the candidate was made by, a name of `unlearning.audit.escalation.ATTEMPTS`.
        page_path: where the verdict is also told in Markdown.

    Raises:
        UserError: the evidence is not of one piece, or a parameter has no meaning.
    """
    made_by = escalation.attempt_named(attempt)
    if not can_be_escalated(method):
        policy = policy.model_copy(update={"stronger": 0})
    audit, evaluation = load_audit(audit_path), load_evaluation(evaluation_path)
    verdict = verdict_of(audit, evaluation, policy)
    action = escalation.next_action(verdict.outcome, made_by, policy, complete=complete(audit, evaluation))
    write_json(verdict_path, verdict.model_dump(mode="json"))
    if page_path is not None:
        write_text(page_path, verdict_markdown.markdown(verdict, action))
    return Decision(action=action, verdict=verdict)
