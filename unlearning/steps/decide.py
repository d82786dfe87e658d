"""Decide: does the evidence say "forgotten, and still useful"?"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from unlearning.audit.results import Audit, Verdict
from unlearning.audit.verdict import VerdictConfig
from unlearning.audit.verdict import decide as judge
from unlearning.errors import UserError
from unlearning.files import read_json, write_json
from unlearning.steps.audit import load_audit
from unlearning.steps.evaluate import EvaluationReport, load_evaluation


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
    """Judge, after checking that audit and evaluation are about the same models.

    Raises:
        UserError: they are not, or a margin is out of range.
    """
    config = margins(auc_margin, utility_margin)
    for name, audited in audit.models.items():
        if evaluation.models.get(name) != audited.model:
            raise UserError(f"audit and evaluation disagree on which model is the {name}: run both on the same models")
    classifier = evaluation.accuracies["candidate"].classifier if "candidate" in evaluation.accuracies else None
    if classifier is not None and "classifier" not in evaluation.utility_lost:
        raise UserError("the evaluation does not compare the classifiers: evaluate candidate and retrained together")
    return judge(audit, evaluation.utility_lost, config)


def decide(
    *, audit_path: Path, evaluation_path: Path, auc_margin: float, utility_margin: float, verdict_path: Path
) -> Verdict:
    """Judge the candidate and write the verdict."""
    verdict = verdict_of(load_audit(audit_path), load_evaluation(evaluation_path), auc_margin, utility_margin)
    write_json(verdict_path, verdict.model_dump(mode="json"))
    return verdict


def load_verdict(path: Path) -> Verdict:
    """Read a verdict.

    Raises:
        UserError: missing or damaged.
    """
    try:
        return Verdict.model_validate(read_json(path, "verdict"))
    except ValidationError as error:
        raise UserError(f"verdict {path} is not valid: {error.errors()[0]['msg']}") from None
