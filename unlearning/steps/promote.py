"""Promote: a candidate that passed replaces the champion; one that did not is kept on record.

One that could not be judged replaces it where the policy accepts that, and says so wherever it is shown.
The branch of the DAG is not trusted: both functions judge the evidence again themselves.
"""

from __future__ import annotations

from pathlib import Path

from unlearning.audit import escalation
from unlearning.audit.escalation import SERVING, Action, load_rungs
from unlearning.audit.policy import Policy
from unlearning.audit.results import load_audit, load_evaluation, load_verdict
from unlearning.audit.verdict import complete, verdict_of
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.data import forget_set
from unlearning.data.provenance import PROVENANCE_FILE
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.registry import candidate, descriptions
from unlearning.registry.candidate import CandidateEvidence
from unlearning.registry.client import Registry, Version
from unlearning.registry.promotion import check_follows, serve
from unlearning.registry.tags import NONE


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
    evidence = CandidateEvidence(
        candidate_path=candidate_path,
        digest=models.digest(candidate_path),
        image_shape=models.load(candidate_path).spec.image_shape,
        made=provenance.load(candidate_path).record(),
        forget=forget_set.load(forget_path),
        audit=audit,
        evaluation=evaluation,
        verdict=load_verdict(verdict_path),
        complete=complete(audit, evaluation),
        earlier=load_rungs(earlier_path) if earlier_path is not None else (),
        files=(audit_path, evaluation_path, verdict_path, candidate_path / PROVENANCE_FILE),
    )
    _check(evidence)
    return evidence


def _check(evidence: CandidateEvidence) -> None:
    audited = evidence.audit.models.get("candidate")
    if audited is None or audited.model != evidence.digest:
        raise UserError("the audit is not of this candidate: audit it before it is promoted or rejected")
    if evidence.made.forget != evidence.forget.digest or evidence.audit.forget != evidence.forget.digest:
        raise UserError("candidate, audit and forget set do not belong together: run the audit on this forget set")
    if evidence.made.diverged != evidence.audit.diverged:
        raise UserError("candidate and audit disagree on whether the method diverged: audit the candidate again")
    judged = verdict_of(
        evidence.audit, evidence.evaluation, evidence.verdict.auc_margin, evidence.verdict.utility_margin
    )
    if judged != evidence.verdict:
        raise UserError(
            f"the verdict says {evidence.verdict.outcome} but its evidence says {judged.outcome}: decide again"
        )


def promote(
    evidence: CandidateEvidence,
    *,
    model_name: str,
    parent: str,
    run_name: str,
    policy: Policy = Policy(),  # noqa: B008 - cannot be changed
    batch: str = "",
    ladder_path: Path | None = None,
) -> Version:
    """Register the candidate, linked to its parent, and let it serve.

    What it stands for from now on is its parent's data without the forgotten records.

    Args:
        policy: with `on_inconclusive` `accept` a candidate may serve that was audited in full and could not be judged,
            with `accept_retrained` only one that was retrained exactly.
        batch: the compliance batch that it was made for; empty for none.
        ladder_path: where the rungs so far are written, this one included; None for nowhere.

    Raises:
        UserError: its verdict, judged again from the evidence, is not `passed`, nor one that is accepted; or
            its parent does not serve any more, so that it would bring back what was forgotten since.
    """
    outcome = evidence.verdict.outcome
    accepts = policy.on_inconclusive
    retrained = evidence.made.method == "retrain"
    action = escalation.may_serve(outcome, accepts, retrained=retrained, complete=evidence.complete)
    if action is None:
        asked = outcome == "inconclusive" and accepts.startswith("accept")
        unless = ", and of the others one that was audited in full" if asked else ""
        raise UserError(f"verdict {outcome}: only a passed candidate can be promoted{unless}")
    registry = Registry(settings.from_environment().tracking_uri)
    before = candidate.parent_of(registry, evidence, model_name, parent)
    made_before = next(
        (each for each in registry.versions(before.name) if candidate.is_of(each, evidence, before)), None
    )
    check_follows(registry, before, made_before)
    version = candidate.register(registry, evidence, before, run_name=run_name, batch=batch, action=action)
    served = serve(registry, version, run_name, follows=before)
    candidate.record(evidence, version.version, action, ladder_path)
    return served


def reject(
    evidence: CandidateEvidence,
    *,
    model_name: str,
    parent: str,
    run_name: str,
    action: str = "person",
    batch: str = "",
    ladder_path: Path | None = None,
) -> Version:
    """Register the candidate as rejected, so that the record is complete; `champion` stays.

    Args:
        action: what follows: `stronger`, `retrain` or `person`.
        batch: the compliance batch that it was made for; empty for none.
        ladder_path: where the rungs so far are written, this one included; None for nowhere.

    Raises:
        UserError: the candidate passed, so there is nothing to reject, its method made no model, or the action
            is none that follows.
    """
    if evidence.verdict.outcome == "passed":
        raise UserError("verdict passed: promote the candidate instead of rejecting it")
    if evidence.verdict.outcome == "diverged":
        raise UserError(f"{evidence.made.diverged}: there is nothing to register")
    follows = _follows(action)
    registry = Registry(settings.from_environment().tracking_uri)
    before = candidate.parent_of(registry, evidence, model_name, parent)
    version = candidate.register(registry, evidence, before, run_name=run_name, batch=batch, action=follows)
    descriptions.tell(registry, version.name)
    candidate.record(evidence, version.version, follows, ladder_path)
    return registry.resolve(version.name, version.version)


def note_diverged(evidence: CandidateEvidence, *, action: str, ladder_path: Path) -> None:
    """Keep on record that a method made no model. Nothing is registered: the candidate is a model that exists.

    Args:
        action: what follows: `retrain` or `person`.
        ladder_path: where the rungs so far are written, this one included.

    Raises:
        UserError: the method made a model, or the action is none that follows.
    """
    if evidence.verdict.outcome != "diverged":
        raise UserError(f"verdict {evidence.verdict.outcome}: the method made a model, reject or promote it")
    candidate.record(evidence, NONE, _follows(action), ladder_path)


def _follows(action: str) -> Action:
    follows = escalation.action_named(action)
    if follows in SERVING:
        raise UserError(f"action {action} lets the candidate serve: promote it instead of rejecting it")
    return follows
