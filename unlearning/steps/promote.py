"""Promote: a candidate that passed replaces the champion; one that did not is kept on record.

The branch of the DAG is not trusted: both functions judge the evidence again themselves.
"""

from __future__ import annotations

from pathlib import Path

from unlearning import forgetting, models, provenance, settings
from unlearning.audit.results import Audit, Verdict
from unlearning.errors import UserError
from unlearning.forgetting import ForgetSet
from unlearning.provenance import Provenance
from unlearning.registry import DatasetLink, NewVersion, Registry, Version
from unlearning.steps.audit import load_audit
from unlearning.steps.decide import load_verdict, verdict_of
from unlearning.steps.evaluate import EvaluationReport, load_evaluation
from unlearning.steps.register import accuracy_metrics, provenance_tags, serve


class Evidence:
    """Candidate, audit, evaluation and verdict, checked to be about each other."""

    def __init__(
        self, *, candidate_path: Path, forget_path: Path, audit_path: Path, evaluation_path: Path, verdict_path: Path
    ) -> None:
        self.candidate_path = candidate_path
        self.made: Provenance = provenance.load(candidate_path)
        self.digest = models.digest(candidate_path)
        self.forget: ForgetSet = forgetting.load(forget_path)
        self.audit: Audit = load_audit(audit_path)
        self.evaluation: EvaluationReport = load_evaluation(evaluation_path)
        self.verdict: Verdict = load_verdict(verdict_path)
        self.files = (audit_path, evaluation_path, verdict_path)
        self._check()

    def _check(self) -> None:
        audited = self.audit.models.get("candidate")
        if audited is None or audited.model != self.digest:
            raise UserError("the audit is not of this candidate: audit it before it is promoted or rejected")
        if self.made.forget != self.forget.digest or self.audit.forget != self.forget.digest:
            raise UserError("candidate, audit and forget set do not belong together: run the audit on this forget set")
        judged = verdict_of(self.audit, self.evaluation, self.verdict.auc_margin, self.verdict.utility_margin)
        if judged != self.verdict:
            raise UserError(
                f"the verdict says {self.verdict.outcome} but its evidence says {judged.outcome}: decide again"
            )

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
            "largest_auc": f"{strongest:.4f}",
            "largest_auc_gap": f"{max(gaps, key=abs):+.4f}",
            "auc_margin": str(self.verdict.auc_margin),
            "forgotten_records": str(len(self.forget.ids)),
        }


def _register(
    evidence: Evidence, *, model_name: str, parent: str, run_name: str, status: str
) -> tuple[Registry, Version]:
    registry = Registry(settings.from_environment().tracking_uri)
    parent_version = registry.resolve(model_name, parent)
    made = evidence.made
    if parent_version.tags["digest"] != made.parent:
        raise UserError(
            f"the candidate was not made from {model_name} version {parent}: give the version it was made from"
        )
    split = made.recipe.split
    version = registry.register(
        NewVersion(
            name=model_name,
            operation=f"{evidence.verdict.outcome}:{run_name}:{evidence.digest}",
            kind="retrained" if made.method == "retrain" else "unlearned",
            folder=evidence.candidate_path,
            digest=evidence.digest,
            image_shape=models.load(evidence.candidate_path).spec.image_shape,
            tags=provenance_tags(made, status)
            | evidence.tags()
            | {"parent": parent_version.version, "run_name": run_name},
            description=f"{made.method} from version {parent_version.version}. " + " ".join(evidence.verdict.reasons),
            parent=parent_version,
            datasets=(
                DatasetLink("retain", made.split, split.members - len(evidence.forget.ids), made.snapshot),
                DatasetLink("forget", evidence.forget.digest, len(evidence.forget.ids), made.snapshot),
                DatasetLink("holdout", made.split, split.holdout, made.snapshot),
            ),
            metrics=evidence.metrics(),
            params={"recipe": made.recipe.name, "seed": str(made.seed), "method": made.method},
            files=evidence.files,
        )
    )
    return registry, version


def promote(evidence: Evidence, *, model_name: str, parent: str, run_name: str) -> Version:
    """Register the candidate, linked to its parent, and let it serve.

    Raises:
        UserError: its verdict, judged again from the evidence, is not `passed`.
    """
    if evidence.verdict.outcome != "passed":
        raise UserError(f"verdict {evidence.verdict.outcome}: only a passed candidate can be promoted")
    registry, version = _register(
        evidence, model_name=model_name, parent=parent, run_name=run_name, status="registered"
    )
    return serve(registry, version, run_name)


def reject(evidence: Evidence, *, model_name: str, parent: str, run_name: str) -> Version:
    """Register the candidate as rejected, so that the record is complete; `champion` stays.

    Raises:
        UserError: the candidate passed, so there is nothing to reject.
    """
    if evidence.verdict.outcome == "passed":
        raise UserError("verdict passed: promote the candidate instead of rejecting it")
    return _register(evidence, model_name=model_name, parent=parent, run_name=run_name, status="rejected")[1]
