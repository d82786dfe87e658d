"""Promote: a candidate that passed replaces the champion.

One that could not be judged replaces it where the policy accepts that, and says so wherever it is shown.
The branch of the DAG is not trusted: the evidence is judged again when it is read.
"""

from __future__ import annotations

from pathlib import Path

from unlearning.audit import escalation
from unlearning.audit.policy import Margins, Policy
from unlearning.audit.results import load_audit, load_evaluation, load_verdict
from unlearning.audit.verdict import complete, verdict_of
from unlearning.core import settings
from unlearning.data import forget_set
from unlearning.data.provenance import PROVENANCE_FILE
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.registry import candidate
from unlearning.registry.candidate import CandidateEvidence
from unlearning.registry.client import Registry, Version
from unlearning.registry.promotion import check_follows, serve


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
    verdict = load_verdict(verdict_path)
    evidence = CandidateEvidence(
        candidate_path=candidate_path,
        digest=models.digest(candidate_path),
        image_shape=models.load(candidate_path).spec.image_shape,
        made=provenance.load(candidate_path).record(),
        forget=forget_set.load(forget_path),
        audit=audit,
        evaluation=evaluation,
        verdict=verdict,
        complete=complete(audit, evaluation),
        earlier=escalation.load_attempts(earlier_path) if earlier_path is not None else (),
        files=(audit_path, evaluation_path, verdict_path, candidate_path / PROVENANCE_FILE),
    )
    candidate.check(evidence)
    candidate.check_judged(evidence, verdict_of(audit, evaluation, Margins.of(verdict)))
    return evidence


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
            with `accept_retrained` only one that was retrained exactly.
        batch: the compliance batch that it was made for; empty for none.
        attempts_path: where the attempts so far are written, this one included; None for nowhere.

    Raises:
        UserError: its verdict, judged again from the evidence, is not `passed`, nor one that is accepted; or
            its parent does not serve any more, so that it would bring back what was forgotten since.
    """
    action = escalation.serving_action(
        evidence.verdict.outcome,
        policy.on_inconclusive,
        retrained=evidence.made.method == "retrain",
        complete=evidence.complete,
    )
    registry = Registry(settings.from_environment().tracking_uri)
    before = candidate.parent_of(registry, evidence, model_name, parent)
    check_follows(registry, before, candidate.registered_before(registry, evidence, before))
    version = candidate.register(registry, evidence, before, run_name=run_name, batch=batch, action=action)
    served = serve(registry, version, run_name, follows=before)
    candidate.record(evidence, version.version, action, attempts_path)
    return served
