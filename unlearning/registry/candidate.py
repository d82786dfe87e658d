"""A candidate in the registry: registered with all that is known of it, whether it serves or was rejected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearning.audit import escalation
from unlearning.audit.escalation import SERVING, Action, AttemptSummary
from unlearning.audit.qualification_results import Qualification, qualified_statement
from unlearning.audit.results import Audit, EvaluationReport, Verdict
from unlearning.core import settings
from unlearning.core.errors import MissingKeyError, UserError
from unlearning.data.forget_set import ForgetSet
from unlearning.data.provenance import ProvenanceRecord
from unlearning.registry.client import DatasetLink, NewVersion, Registry, Version
from unlearning.registry.tags import NONE, Tags, accuracy_metrics, provenance_tags
from unlearning.registry.versions import data_of
from unlearning.storage.datasets import load_split, reduce
from unlearning.storage.open import open_store
from unlearning.storage.store import Store


@dataclass(frozen=True)
class CandidateEvidence:
    """What is known of a candidate, checked to be about each other, and what was tried before."""

    candidate_path: Path
    digest: str
    image_shape: tuple[int, int, int]
    made: ProvenanceRecord
    forget: ForgetSet
    audit: Audit
    evaluation: EvaluationReport
    verdict: Verdict
    complete: bool
    """Whether everything was measured that the verdict rests on."""
    earlier: tuple[AttemptSummary, ...]
    files: tuple[Path, ...]
    """Shown on the version's page."""
    qualified: tuple[Qualification, ...] = ()
    """What speaks for its method where its own audit could not judge it."""

    def metrics(self) -> dict[str, float]:
        """Attack figures and accuracies of the candidate."""
        audited = self.audit.models["candidate"]
        attacks = {f"auc_{each.name}": each.auc.estimate for each in audited.attacks}
        rates = {f"tpr_at_1_fpr_{each.name}": each.tpr_at_1_fpr.estimate for each in audited.attacks}
        gaps = {f"auc_gap_{each.attack}": each.difference.estimate for each in self.audit.comparisons}
        accuracies = accuracy_metrics(self.evaluation, "candidate")
        return {"seconds": self.made.seconds, **attacks, **rates, **gaps, **accuracies}

    def tags(self) -> Tags:
        """The verdict and the attack figures, searchable on the version."""
        gaps = [comparison.difference.estimate for comparison in self.audit.comparisons]
        strongest = max(each.auc.estimate for each in self.audit.models["candidate"].attacks)
        return Tags(
            verdict=self.verdict.outcome,
            compared_with=self.verdict.compared_with,
            largest_auc=f"{strongest:.4f}",
            largest_auc_gap=f"{max(gaps, key=abs):+.4f}",
            auc_margin=str(self.verdict.auc_margin),
            forgotten_records=str(len(self.forget.ids)),
        )


def check(evidence: CandidateEvidence) -> None:
    """Audit, forget set and candidate are about each other.

    Raises:
        UserError: they are not.
    """
    audited = evidence.audit.models.get("candidate")
    if audited is None or audited.model != evidence.digest:
        raise UserError("the audit is not of this candidate: audit it before it is promoted or rejected")
    if evidence.made.forget != evidence.forget.digest or evidence.audit.forget != evidence.forget.digest:
        raise UserError("candidate, audit and forget set do not belong together: run the audit on this forget set")
    if evidence.made.diverged != evidence.audit.diverged:
        raise UserError("candidate and audit disagree on whether the method diverged: audit the candidate again")


def check_judged(evidence: CandidateEvidence, judged: Verdict) -> None:
    """The verdict is what its evidence says.

    Args:
        evidence: with the verdict.
        judged: made from the evidence again.

    Raises:
        UserError: it is another.
    """
    if judged != evidence.verdict:
        raise UserError(
            f"the verdict says {evidence.verdict.outcome} but its evidence says {judged.outcome}: decide again"
        )


def rejecting_action(evidence: CandidateEvidence, action: str) -> Action:
    """What follows the rejection of a candidate.

    Raises:
        UserError: the candidate passed, so there is nothing to reject, its method made no model, or the action
            is none that follows.
    """
    if evidence.verdict.outcome == "passed":
        raise UserError("verdict passed: promote the candidate instead of rejecting it")
    if evidence.verdict.outcome == "diverged":
        raise UserError(f"{evidence.made.diverged}: there is nothing to register")
    return escalation.rejecting_action(action)


def diverged_action(evidence: CandidateEvidence, action: str) -> Action:
    """What follows where a method made no model.

    Raises:
        UserError: the method made a model, or the action is none that follows.
    """
    if evidence.verdict.outcome != "diverged":
        raise UserError(f"verdict {evidence.verdict.outcome}: the method made a model, reject or promote it")
    return escalation.rejecting_action(action)


def _texts(evidence: CandidateEvidence, parent: str, action: Action) -> tuple[str, str]:
    """The statement of an accepted candidate, `none` for any other, and what its page says."""
    made, reasons = evidence.made, evidence.verdict.reasons
    attempt = escalation.attempt_named(made.attempt or "first")
    setting = f" ({escalation.described(attempt)})" if attempt != "first" else ""
    how = f"{made.method}{setting} from version {parent}."
    if action != "accept":
        return "none", " ".join([how, *reasons])
    statement = _statement(evidence)
    return statement, f"{statement} {how}"


def _statement(evidence: CandidateEvidence) -> str:
    """Under which a candidate is accepted."""
    if evidence.qualified:
        return qualified_statement(evidence.qualified, len(evidence.forget.ids))
    return escalation.accepted_statement(evidence.verdict.reasons, retrained=evidence.made.method == "retrain")


def _flat(settings: dict[str, Any], above: str = "") -> dict[str, str]:
    """Nested settings as dotted names, as MLflow compares them."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: str(value)}
    return found


def parent_of(registry: Registry, evidence: CandidateEvidence, model_name: str, parent: str) -> Version:
    """The version that the candidate was made from.

    Raises:
        UserError: it was made from another, or the version's data was rewritten since.
    """
    version = registry.resolve(model_name, parent)
    if version.tags.digest != evidence.made.parent:
        raise UserError(
            f"the candidate was not made from {model_name} version {parent}: give the version it was made from"
        )
    now = data_of(version).split
    # What was erased meanwhile without having been learned changes nothing: the version was trained on the same.
    store = open_store(settings.from_environment().store)
    if now != evidence.forget.split and load_split(store, now).members != _members(store, evidence.forget.split):
        raise UserError(
            f"{model_name} version {version.version} does not stand for the data that the candidate was made from: "
            "unlearn it again"
        )
    return version


def _members(store: Store, split: str) -> tuple[str, ...] | None:
    try:
        return load_split(store, split).members
    except MissingKeyError:
        return None


def registered_before(registry: Registry, evidence: CandidateEvidence, parent: Version) -> Version | None:
    """The first version that is this candidate, made from this parent; None where there is none."""
    wanted = (evidence.digest, parent.version)
    versions = registry.versions(parent.name)
    return next((each for each in versions if (each.tags.digest, each.tags.parent) == wanted), None)


def _links(evidence: CandidateEvidence, parent: Version, *, serves: bool, batch: str) -> Tags:
    """What the version stands for, what that was made from, and the requests that it honours as its parent did.

    What is not to serve keeps its parent's data: nobody has shown that it forgot anything.
    """
    before = data_of(parent)
    store = open_store(settings.from_environment().store)
    left = reduce(store, before, evidence.forget.ids) if serves else before
    return Tags(
        requests=parent.tags.requests if serves else {},
        snapshot=left.snapshot,
        split=left.split,
        from_snapshot=before.snapshot,
        from_split=before.split,
        batch=batch or NONE,
    )


def register(
    registry: Registry,
    evidence: CandidateEvidence,
    parent_version: Version,
    *,
    run_name: str,
    batch: str,
    action: Action,
) -> Version:
    """Register the candidate with its links, once."""
    made, model_name = evidence.made, parent_version.name
    attempt = made.attempt or "none"
    audited = evidence.audit.records
    judged = f"{evidence.verdict.outcome}:{evidence.verdict.compared_with}"
    statement, description = _texts(evidence, parent_version.version, action)
    links = _links(evidence, parent_version, serves=action in SERVING, batch=batch)
    followed = Tags(
        parent=parent_version.version,
        run_name=run_name,
        action=action,
        accepted="yes" if action == "accept" else "no",
        statement=statement,
        qualified_by="; ".join(each.told for each in evidence.qualified) or NONE,
    )
    tags = provenance_tags(made, "registered" if action in SERVING else "rejected")
    return registry.register(
        NewVersion(
            name=model_name,
            operation=f"{action}:{judged}:{attempt}:{run_name}:{evidence.digest}",
            kind="retrained" if made.method == "retrain" else "unlearned",
            folder=evidence.candidate_path,
            digest=evidence.digest,
            image_shape=evidence.image_shape,
            tags=tags.changed(evidence.tags()).changed(links).changed(followed),
            description=description,
            parent=parent_version,
            datasets=(
                DatasetLink("retain", made.split, audited["retained"], made.snapshot),
                DatasetLink("forget", evidence.forget.digest, len(evidence.forget.ids), made.snapshot),
                DatasetLink("holdout", made.split, audited["holdout"], made.snapshot),
            ),
            metrics=evidence.metrics(),
            params={"recipe": made.recipe_name, "seed": str(made.seed), "method": made.method, "rung": attempt}
            | _flat(made.settings, "settings."),
            files=evidence.files,
        )
    )


def record(evidence: CandidateEvidence, version: str, action: Action, attempts_path: Path | None) -> None:
    """What was tried before, and this candidate after it."""
    if attempts_path is None:
        return
    made = evidence.made
    attempt = AttemptSummary(
        name=escalation.attempt_named(made.attempt or "first"),
        method=made.method,
        settings=made.settings,
        digest=evidence.digest,
        seconds=made.seconds,
        verdict=evidence.verdict,
        action=action,
        version=version,
        statement=_statement(evidence) if action == "accept" else "",
    )
    escalation.save_attempts((*evidence.earlier, attempt), attempts_path)
