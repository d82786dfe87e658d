"""Promote: a candidate that passed replaces the champion; one that did not is kept on record.

One that could not be judged replaces it where the policy accepts that, and says so wherever it is shown.
The branch of the DAG is not trusted: both functions judge the evidence again themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlearning.audit import escalation
from unlearning.audit.escalation import SERVING, Action
from unlearning.audit.results import Audit, Verdict
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.data import forget_set
from unlearning.data.forget_set import ForgetSet
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.recipes.provenance import Provenance
from unlearning.registry import descriptions
from unlearning.registry.client import DatasetLink, NewVersion, Registry, Version
from unlearning.registry.history import REQUEST
from unlearning.registry.versions import NONE
from unlearning.reporting import summary
from unlearning.reporting.summary import RungSummary
from unlearning.steps.audit import load_audit
from unlearning.steps.decide import complete, load_verdict, verdict_of
from unlearning.steps.evaluate import EvaluationReport, load_evaluation
from unlearning.steps.register import accuracy_metrics, check_follows, provenance_tags, serve
from unlearning.storage.datasets import data_of, reduce
from unlearning.storage.store import open_store


class Evidence:
    """Candidate, audit, evaluation and verdict, checked to be about each other, and what was tried before."""

    def __init__(
        self,
        *,
        candidate_path: Path,
        forget_path: Path,
        audit_path: Path,
        evaluation_path: Path,
        verdict_path: Path,
        earlier_path: Path | None = None,
    ) -> None:
        self.candidate_path = candidate_path
        self.made: Provenance = provenance.load(candidate_path)
        self.digest = models.digest(candidate_path)
        self.forget: ForgetSet = forget_set.load(forget_path)
        self.audit: Audit = load_audit(audit_path)
        self.evaluation: EvaluationReport = load_evaluation(evaluation_path)
        self.verdict: Verdict = load_verdict(verdict_path)
        self.earlier = summary.load_rungs(earlier_path) if earlier_path is not None else ()
        self.files = (audit_path, evaluation_path, verdict_path, candidate_path / provenance.PROVENANCE_FILE)
        self._check()

    def _check(self) -> None:
        audited = self.audit.models.get("candidate")
        if audited is None or audited.model != self.digest:
            raise UserError("the audit is not of this candidate: audit it before it is promoted or rejected")
        if self.made.forget != self.forget.digest or self.audit.forget != self.forget.digest:
            raise UserError("candidate, audit and forget set do not belong together: run the audit on this forget set")
        if self.made.diverged != self.audit.diverged:
            raise UserError("candidate and audit disagree on whether the method diverged: audit the candidate again")
        judged = verdict_of(self.audit, self.evaluation, self.verdict.auc_margin, self.verdict.utility_margin)
        if judged != self.verdict:
            raise UserError(
                f"the verdict says {self.verdict.outcome} but its evidence says {judged.outcome}: decide again"
            )

    @property
    def complete(self) -> bool:
        """Whether everything was measured that the verdict rests on."""
        return complete(self.audit, self.evaluation)

    def metrics(self) -> dict[str, float]:
        """Attack figures and accuracies of the candidate."""
        audited = self.audit.models["candidate"]
        attacks = {f"auc_{each.name}": each.auc.estimate for each in audited.attacks}
        rates = {f"tpr_at_1_fpr_{each.name}": each.tpr_at_1_fpr.estimate for each in audited.attacks}
        gaps = {f"auc_gap_{each.attack}": each.difference.estimate for each in self.audit.comparisons}
        accuracies = accuracy_metrics(self.evaluation, "candidate")
        return {"seconds": self.made.seconds, **attacks, **rates, **gaps, **accuracies}

    def tags(self) -> dict[str, str]:
        """The verdict and the attack figures, searchable on the version."""
        gaps = [comparison.difference.estimate for comparison in self.audit.comparisons]
        strongest = max(each.auc.estimate for each in self.audit.models["candidate"].attacks)
        return {
            "verdict": self.verdict.outcome,
            "compared_with": self.verdict.compared_with,
            "largest_auc": f"{strongest:.4f}",
            "largest_auc_gap": f"{max(gaps, key=abs):+.4f}",
            "auc_margin": str(self.verdict.auc_margin),
            "forgotten_records": str(len(self.forget.ids)),
        }


def _texts(evidence: Evidence, parent: str, action: Action) -> tuple[str, str]:
    """The statement of an accepted candidate, `none` for any other, and what its page says."""
    made, reasons = evidence.made, evidence.verdict.reasons
    rung = f" ({escalation.described(made.rung)})" if made.rung and made.rung != "first" else ""
    how = f"{made.method}{rung} from version {parent}."
    if action != "accept":
        return "none", " ".join([how, *reasons])
    statement = escalation.accepted_statement(reasons, retrained=made.method == "retrain")
    return statement, f"{statement} {how}"


def _flat(settings: dict[str, Any], above: str = "") -> dict[str, str]:
    """Nested settings as dotted names, as MLflow compares them."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: str(value)}
    return found


def _parent(registry: Registry, evidence: Evidence, model_name: str, parent: str) -> Version:
    """The version that the candidate was made from.

    Raises:
        UserError: it was made from another, or the version's data was rewritten since.
    """
    version = registry.resolve(model_name, parent)
    if version.tags["digest"] != evidence.made.parent:
        raise UserError(
            f"the candidate was not made from {model_name} version {parent}: give the version it was made from"
        )
    if data_of(version).split != evidence.forget.split:
        raise UserError(
            f"records were erased from the data of {model_name} version {version.version} since: unlearn it again"
        )
    return version


def _is_of(version: Version, evidence: Evidence, parent: Version) -> bool:
    return (version.tags.get("digest"), version.tags.get("parent")) == (evidence.digest, parent.version)


def _links(evidence: Evidence, parent: Version, *, serves: bool, batch: str) -> dict[str, str]:
    """What the version stands for, what that was made from, and the requests that it honours as its parent did.

    What is not to serve keeps its parent's data: nobody has shown that it forgot anything.
    """
    before = data_of(parent)
    store = open_store(settings.from_environment().store)
    left = reduce(store, before, evidence.forget.ids) if serves else before
    honoured = {name: value for name, value in parent.tags.items() if name.startswith(REQUEST)} if serves else {}
    return honoured | {
        "snapshot": left.snapshot,
        "split": left.split,
        "from_snapshot": before.snapshot,
        "from_split": before.split,
        "batch": batch or "none",
    }


def _register(
    registry: Registry, evidence: Evidence, parent_version: Version, *, run_name: str, batch: str, action: Action
) -> Version:
    made, model_name = evidence.made, parent_version.name
    rung = made.rung or "none"
    audited = evidence.audit.records
    judged = f"{evidence.verdict.outcome}:{evidence.verdict.compared_with}"
    statement, description = _texts(evidence, parent_version.version, action)
    tags = _links(evidence, parent_version, serves=action in SERVING, batch=batch) | {
        "parent": parent_version.version,
        "run_name": run_name,
        "action": action,
        "accepted": "yes" if action == "accept" else "no",
        "statement": statement,
    }
    return registry.register(
        NewVersion(
            name=model_name,
            operation=f"{action}:{judged}:{rung}:{run_name}:{evidence.digest}",
            kind="retrained" if made.method == "retrain" else "unlearned",
            folder=evidence.candidate_path,
            digest=evidence.digest,
            image_shape=models.load(evidence.candidate_path).spec.image_shape,
            tags=provenance_tags(made, "registered" if action in SERVING else "rejected") | evidence.tags() | tags,
            description=description,
            parent=parent_version,
            datasets=(
                DatasetLink("retain", made.split, audited["retained"], made.snapshot),
                DatasetLink("forget", evidence.forget.digest, len(evidence.forget.ids), made.snapshot),
                DatasetLink("holdout", made.split, audited["holdout"], made.snapshot),
            ),
            metrics=evidence.metrics(),
            params={"recipe": made.recipe.name, "seed": str(made.seed), "method": made.method, "rung": rung}
            | _flat(made.settings, "settings."),
            files=evidence.files,
        )
    )


def _record(evidence: Evidence, version: str, action: Action, ladder_path: Path | None) -> None:
    """What was tried before, and this candidate after it."""
    if ladder_path is None:
        return
    made = evidence.made
    rung = RungSummary(
        rung=made.rung or "first",
        method=made.method,
        settings=made.settings,
        digest=evidence.digest,
        seconds=made.seconds,
        verdict=evidence.verdict,
        action=action,
        version=version,
    )
    summary.save_rungs((*evidence.earlier, rung), ladder_path)


def promote(
    evidence: Evidence,
    *,
    model_name: str,
    parent: str,
    run_name: str,
    on_inconclusive: str = "retrain",
    batch: str = "",
    ladder_path: Path | None = None,
) -> Version:
    """Register the candidate, linked to its parent, and let it serve.

    What it stands for from now on is its parent's data without the forgotten records.

    Args:
        on_inconclusive: `accept` lets a candidate serve that was audited in full and could not be judged,
            `accept_retrained` only one that was retrained exactly.
        batch: the compliance batch that it was made for; empty for none.
        ladder_path: where the rungs so far are written, this one included; None for nowhere.

    Raises:
        UserError: its verdict, judged again from the evidence, is not `passed`, nor one that is accepted; or
            its parent does not serve any more, so that it would bring back what was forgotten since.
    """
    outcome = evidence.verdict.outcome
    accepts = escalation.policy(0, "stop", on_inconclusive).on_inconclusive
    retrained = evidence.made.method == "retrain"
    action = escalation.may_serve(outcome, accepts, retrained=retrained, complete=evidence.complete)
    if action is None:
        asked = outcome == "inconclusive" and accepts.startswith("accept")
        unless = ", and of the others one that was audited in full" if asked else ""
        raise UserError(f"verdict {outcome}: only a passed candidate can be promoted{unless}")
    registry = Registry(settings.from_environment().tracking_uri)
    before = _parent(registry, evidence, model_name, parent)
    made_before = next((each for each in registry.versions(before.name) if _is_of(each, evidence, before)), None)
    check_follows(registry, before, made_before)
    version = _register(registry, evidence, before, run_name=run_name, batch=batch, action=action)
    served = serve(registry, version, run_name, follows=before)
    _record(evidence, version.version, action, ladder_path)
    return served


def reject(
    evidence: Evidence,
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
    before = _parent(registry, evidence, model_name, parent)
    version = _register(registry, evidence, before, run_name=run_name, batch=batch, action=follows)
    descriptions.tell(registry, version.name)
    _record(evidence, version.version, follows, ladder_path)
    return registry.resolve(version.name, version.version)


def note_diverged(evidence: Evidence, *, action: str, ladder_path: Path) -> None:
    """Keep on record that a method made no model. Nothing is registered: the candidate is a model that exists.

    Args:
        action: what follows: `retrain` or `person`.
        ladder_path: where the rungs so far are written, this one included.

    Raises:
        UserError: the method made a model, or the action is none that follows.
    """
    if evidence.verdict.outcome != "diverged":
        raise UserError(f"verdict {evidence.verdict.outcome}: the method made a model, reject or promote it")
    _record(evidence, NONE, _follows(action), ladder_path)


def _follows(action: str) -> Action:
    follows = escalation.action_named(action)
    if follows in SERVING:
        raise UserError(f"action {action} lets the candidate serve: promote it instead of rejecting it")
    return follows
