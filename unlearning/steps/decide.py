"""Decide: does the evidence say "forgotten, and still useful", and what follows if not?"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from unlearning.audit import escalation
from unlearning.audit.escalation import Action
from unlearning.audit.results import UTILITY_REFERENCE, Audit, Verdict
from unlearning.audit.verdict import VerdictConfig, missing_evidence
from unlearning.audit.verdict import decide as judge
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json, write_text
from unlearning.recipes.escalated import can_be_strengthened
from unlearning.reporting import verdict_markdown
from unlearning.steps.audit import load_audit
from unlearning.steps.evaluate import EvaluationReport, load_evaluation


class Decision(Config):
    """A verdict, and what follows it."""

    action: Action
    verdict: Verdict


def margins(auc_margin: float, utility_margin: float) -> VerdictConfig:
    """Checked margins.

    Raises:
        UserError: one is out of range.
    """
    try:
        return VerdictConfig(auc_margin=auc_margin, utility_margin=utility_margin)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{first['loc'][0]} {first['input']}: {first['msg']}") from None


def verdict_of(audit: Audit, evaluation: EvaluationReport, auc_margin: float, utility_margin: float) -> Verdict:
    """Judge, after checking that audit and evaluation are about the same models, and compare with the same.

    Raises:
        UserError: they are not, or a margin is out of range.
    """
    config = margins(auc_margin, utility_margin)
    for name, audited in audit.models.items():
        if evaluation.models.get(name) != audited.model:
            raise UserError(f"audit and evaluation disagree on which model is the {name}: run both on the same models")
    against = UTILITY_REFERENCE[audit.compared_with]
    if evaluation.utility_lost and evaluation.lost_against != against:
        raise UserError(
            f"the audit compares with {audit.compared_with}, so accuracy is to be compared with the {against} model's, "
            f"but the evaluation compares it with the {evaluation.lost_against} model's: run both on the same models"
        )
    classifier = evaluation.accuracies["candidate"].classifier if "candidate" in evaluation.accuracies else None
    if classifier is not None and "classifier" not in evaluation.utility_lost:
        raise UserError(f"the evaluation does not compare the classifiers: evaluate candidate and {against} together")
    return judge(audit, evaluation.utility_lost, config)


def complete(audit: Audit, evaluation: EvaluationReport) -> bool:
    """Whether everything was measured that a verdict rests on, on however few records."""
    return not missing_evidence(audit, evaluation.utility_lost, min_records=0)


def decide(
    *,
    audit_path: Path,
    evaluation_path: Path,
    auc_margin: float,
    utility_margin: float,
    method: str,
    rung: str = "first",
    stronger: int = 1,
    on_failure: str = "retrain",
    on_inconclusive: str = "retrain",
    verdict_path: Path,
    page_path: Path | None = None,
) -> Decision:
    """Judge the candidate, write the verdict, and say what follows it.

    Args:
        method: whose settings the ladder strengthens.
        rung: what the candidate was made by, a name of `unlearning.audit.escalation.RUNGS`.
        stronger: settings to try after the first, 0 to 2.
        on_failure: retrain or stop.
        on_inconclusive: retrain, stop, accept or accept_retrained.
        page_path: where the verdict is also told in Markdown.

    Raises:
        UserError: the evidence is not of one piece, or a parameter has no meaning.
    """
    made_by = escalation.rung_named(rung)
    policy = escalation.policy(stronger if can_be_strengthened(method) else 0, on_failure, on_inconclusive)
    audit, evaluation = load_audit(audit_path), load_evaluation(evaluation_path)
    verdict = verdict_of(audit, evaluation, auc_margin, utility_margin)
    action = escalation.next_rung(verdict.outcome, made_by, policy, complete=complete(audit, evaluation))
    write_json(verdict_path, verdict.model_dump(mode="json"))
    if page_path is not None:
        write_text(page_path, verdict_markdown.markdown(verdict, action))
    return Decision(action=action, verdict=verdict)


def load_verdict(path: Path) -> Verdict:
    """Read a verdict.

    Raises:
        UserError: missing or damaged.
    """
    try:
        return Verdict.model_validate(read_json(path, "verdict"))
    except ValidationError as error:
        raise UserError(f"verdict {path} is not valid: {error.errors()[0]['msg']}") from None
