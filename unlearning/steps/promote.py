"""Promote: a candidate that passed replaces the champion.

One that could not be judged replaces it where the policy accepts that, and says so wherever it is shown.
The branch of the DAG is not trusted: the evidence is judged again when it is read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from unlearning.audit import escalation
from unlearning.audit.policy import Margins, Policy
from unlearning.audit.qualification_results import QUALIFICATION_FILE, Qualification, QualifiedBy
from unlearning.audit.qualified import qualified_by
from unlearning.audit.references.plan import check_unlearned_in
from unlearning.audit.results import (
    Audit,
    EvaluationReport,
    Verdict,
    load_audit,
    load_evaluation,
    load_verdict,
)
from unlearning.audit.verdict import complete, verdict_of
from unlearning.core import settings
from unlearning.core.files import write_json
from unlearning.data import forget_set
from unlearning.data.provenance import PROVENANCE_FILE
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.recipes.provenance import Provenance
from unlearning.registry import candidate
from unlearning.registry.candidate import CandidateEvidence
from unlearning.registry.client import Registry, Version
from unlearning.registry.promotion import check_follows, serve
from unlearning.storage.open import open_store
from unlearning.storage.qualifications import load_all


def evidence_at(
    *,
    candidate_path: Path,
    forget_path: Path,
    audit_path: Path,
    evaluation_path: Path,
    verdict_path: Path,
    earlier_path: Path | None = None,
) -> CandidateEvidence:
    """Candidate, audit, evaluation and verdict, and what was tried before.

    Raises:
        UserError: missing or damaged, or not about each other.
    """
    audit, evaluation = load_audit(audit_path), load_evaluation(evaluation_path)
    verdict, made = load_verdict(verdict_path), provenance.load(candidate_path)
    evidence = CandidateEvidence(
        candidate_path=candidate_path,
        digest=models.digest(candidate_path),
        image_shape=models.load(candidate_path).spec.image_shape,
        made=made.record(),
        forget=forget_set.load(forget_path),
        audit=audit,
        evaluation=evaluation,
        verdict=verdict,
        complete=complete(audit, evaluation),
        qualified=_qualified(audit, evaluation, verdict, made),
        earlier=escalation.load_attempts(earlier_path) if earlier_path is not None else (),
        files=(audit_path, evaluation_path, verdict_path, candidate_path / PROVENANCE_FILE),
    )
    candidate.check(evidence)
    candidate.check_judged(evidence, verdict_of(audit, evaluation, Margins.of(verdict)))
    return evidence


def _qualified(
    audit: Audit, evaluation: EvaluationReport, verdict: Verdict, made: Provenance
) -> tuple[Qualification, ...]:
    """What of the original's qualifications speaks for a candidate that its own audit could not judge."""
    if verdict.outcome != "inconclusive" or made.attempt is None:
        return ()
    found = load_all(open_store(settings.from_environment().store), audit.models["original"].model)
    margins = Margins.of(verdict)
    given: dict[str, Any] = {"method": made.method, "settings": made.settings, "attempt": made.attempt}
    return qualified_by(found, audit, evaluation, **given, margins=margins)


def promote(
    evidence: CandidateEvidence,
    *,
    model_name: str,
    parent: str,
    run_name: str,
    policy: Policy = Policy(),  # noqa: B008 - cannot be changed
    batch: str = "",
    attempts_path: Path | None = None,
) -> Version:
    """Register the candidate, linked to its parent, and let it serve.

    What it stands for from now on is its parent's data without the forgotten records.

    Args:
        policy: with `on_inconclusive` `accept` a candidate may serve that was audited in full and could not be judged,
            with `accept_retrained` only one that was retrained exactly, with `qualified` that or one whose method is
            qualified for it.
        batch: the compliance batch that it was made for; empty for none.
        attempts_path: where the attempts so far are written, this one included; None for nowhere.

    Raises:
        UserError: its verdict, judged again from the evidence, is not `passed`, nor one that is accepted; its audit
            left out U-LiRA where the policy asks for it; or its parent does not serve any more, so that it would bring
            back what was forgotten since.
    """
    check_unlearned_in(
        policy.unlearned_references,
        evidence.audit.unlearned_references,
        retrained=evidence.made.method == "retrain",
        diverged=bool(evidence.audit.diverged),
    )
    action = escalation.serving_action(
        evidence.verdict.outcome,
        policy.on_inconclusive,
        retrained=evidence.made.method == "retrain",
        complete=evidence.complete,
        qualified=bool(evidence.qualified),
    )
    if policy.on_inconclusive != "qualified":
        evidence = replace(evidence, qualified=())  # it does not serve by that
    registry = Registry(settings.from_environment().tracking_uri)
    before = candidate.parent_of(registry, evidence, model_name, parent)
    check_follows(registry, before, candidate.registered_before(registry, evidence, before))
    with TemporaryDirectory() as scratch:
        logged = evidence
        if evidence.qualified:
            told = Path(scratch) / QUALIFICATION_FILE
            write_json(told, QualifiedBy(qualifications=evidence.qualified).model_dump(mode="json"))
            logged = replace(evidence, files=(*evidence.files, told))
        version = candidate.register(registry, logged, before, run_name=run_name, batch=batch, action=action)
    served = serve(registry, version, run_name, follows=before)
    candidate.record(evidence, version.version, action, attempts_path)
    return served
