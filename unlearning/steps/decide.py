"""Decide: does the evidence say "forgotten, and still useful", and what follows if not?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlearning.audit import escalation
from unlearning.audit.escalation import Action
from unlearning.audit.policy import Policy
from unlearning.audit.qualified import qualified_by
from unlearning.audit.references.plan import check_unlearned_in
from unlearning.audit.results import Verdict, load_audit, load_evaluation
from unlearning.audit.verdict import complete, verdict_of
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.core.files import write_json, write_text
from unlearning.recipes import provenance
from unlearning.recipes.escalated import can_be_escalated
from unlearning.reporting import verdict_markdown
from unlearning.storage.open import open_store
from unlearning.storage.qualifications import load_all


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
    candidate_path: Path | None = None,
    verdict_path: Path,
    page_path: Path | None = None,
) -> Decision:
    """Judge the candidate, write the verdict, and say what follows it.

    Args:
        policy: how it is judged, and what follows.
        method: whose settings would be escalated.
        attempt: what the candidate was made by, a name of `unlearning.audit.escalation.ATTEMPTS`.
        candidate_path: that was made, for whether its method is qualified for it; None for not asking.
        page_path: where the verdict is also told in Markdown.

    Raises:
        UserError: the evidence is not of one piece, a parameter has no meaning, or the audit left out U-LiRA where the
            policy asks for it.
    """
    made_by = escalation.attempt_named(attempt)
    if not can_be_escalated(method):
        policy = policy.model_copy(update={"stronger": 0})
    audit, evaluation = load_audit(audit_path), load_evaluation(evaluation_path)
    check_unlearned_in(
        policy.unlearned_references,
        audit.unlearned_references,
        retrained=method == "retrain" or made_by == escalation.RETRAINED,
        diverged=bool(audit.diverged),
    )
    verdict = verdict_of(audit, evaluation, policy)
    known = {"complete": complete(audit, evaluation), "qualified": False}
    if policy.on_inconclusive == "qualified" and candidate_path is not None:
        made, store = provenance.load(candidate_path), open_store(settings.from_environment().store)
        given: dict[str, Any] = {"method": made.method, "settings": made.settings, "attempt": made.attempt}
        found = load_all(store, audit.models["original"].model)
        known["qualified"] = bool(qualified_by(found, audit, evaluation, **given, margins=policy))
    action = escalation.next_action(verdict.outcome, made_by, policy, **known)
    write_json(verdict_path, verdict.model_dump(mode="json"))
    if page_path is not None:
        write_text(page_path, verdict_markdown.markdown(verdict, action))
    return Decision(action=action, verdict=verdict)
