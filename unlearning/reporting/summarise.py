"""A finished run as one summary: everything that it left behind, gathered and checked to be of one piece."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Literal

from unlearning import __version__
from unlearning.audit import escalation
from unlearning.audit.escalation import RETRAINED, SERVING, AttemptSummary, accepted_statement
from unlearning.audit.results import Audit, EvaluationReport, Verdict, load_audit, load_evaluation, load_verdict
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.data import forget_set, snapshots, splits
from unlearning.data.provenance import ProvenanceRecord, load_record
from unlearning.data.splits import PARTS, Split
from unlearning.registry.client import CHAMPION, Registry
from unlearning.registry.overview import overview
from unlearning.registry.tags import NONE
from unlearning.reporting.summary import (
    ForgetSummary,
    ModelSummary,
    RegistrySummary,
    SnapshotSummary,
    SplitSummary,
    Summary,
)

LIBRARIES = ("torch", "kfp", "mlflow", "numpy", "scikit-learn")
NAMES = {"original": "original", "unlearned": "candidate", "retrained": "retrained"}
"""Names of the models in the summary to their names in the audit."""
SHOWN = 30
"""Versions of the model that the report draws at most, the newest."""


@dataclass(frozen=True)
class ReportInputs:
    """Artifacts and identities of a finished run."""

    original_path: Path
    candidate_path: Path
    retrained_path: Path | None
    """None where references were compared with."""
    snapshot_path: Path
    split_path: Path
    forget_path: Path
    audit_path: Path
    evaluation_path: Path
    verdict_path: Path
    attempts_path: Path
    """Every attempt of the run; candidate, audit, evaluation and verdict are of the last one before exact
    retraining."""
    evidence_path: Path
    """Of the paper's figures, measured on the same models."""
    model_name: str
    original_version: str
    run_name: str


def _models(inputs: ReportInputs, audit: Audit, evaluation: EvaluationReport) -> dict[str, ModelSummary]:
    retrained = inputs.retrained_path
    if (retrained is not None) != ("retrained" in audit.models):
        raise UserError("the audit and the report are not given the same retrained model: give both the same, or none")
    paths = {"original": inputs.original_path, "unlearned": inputs.candidate_path}
    paths |= {"retrained": retrained} if retrained is not None else {}
    return {
        name: ModelSummary(
            digest=audit.models[NAMES[name]].model,
            seconds=load_record(path).seconds,
            audit=audit.models[NAMES[name]],
            accuracies=evaluation.accuracies[NAMES[name]],
        )
        for name, path in paths.items()
    }


def _attempts(path: Path, audit: Audit, verdict: Verdict) -> tuple[AttemptSummary, ...]:
    attempts = escalation.load_attempts(path)
    last = escalation.last_unlearned(attempts)
    if (last.digest, last.verdict) != (audit.models["candidate"].model, verdict):
        raise UserError("the last attempt before exact retraining is not the candidate given: give that one's evidence")
    return attempts


def _promoted(attempts: tuple[AttemptSummary, ...]) -> tuple[Literal["unlearned", "retrained"] | None, str | None]:
    """What became champion, and the statement under which, if it had not passed."""
    last = attempts[-1]
    if last.action not in SERVING:
        return None, None
    statement = (
        last.statement or accepted_statement(last.verdict.reasons, retrained=last.method == "retrain")
        if last.action == "accept"
        else None
    )
    return ("retrained" if last.name == RETRAINED else "unlearned"), statement


def _versions_of(original: str, attempts: tuple[AttemptSummary, ...]) -> dict[str, str]:
    """Registered version of every model that was looked at in full; a later attempt takes the place of an earlier,
    and has none itself where its method diverged."""
    found = {"retrained" if each.name == RETRAINED else "unlearned": each.version for each in attempts}
    return {"original": original} | {name: version for name, version in found.items() if version != NONE}


def _machine(made: ProvenanceRecord) -> dict[str, str]:
    return {
        "device": made.device,
        "processor": platform.machine(),
        "cores": str(os.cpu_count()),
        "system": platform.system(),
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), "unlearning": __version__} | {
        name: installed(name) for name in LIBRARIES
    }


def _data(inputs: ReportInputs, split: Split) -> tuple[SnapshotSummary, SplitSummary, ForgetSummary]:
    manifest = snapshots.load(inputs.snapshot_path).manifest
    forget = forget_set.load(inputs.forget_path)
    return (
        SnapshotSummary(
            digest=manifest.digest,
            source=manifest.source,
            licence=manifest.licence,
            records=len(manifest.record_ids),
            duplicates=manifest.duplicates,
        ),
        SplitSummary(digest=split.digest, seed=split.seed, sizes={part: len(getattr(split, part)) for part in PARTS}),
        ForgetSummary(
            digest=forget.digest,
            kind=forget.kind,
            records=len(forget.ids),
            near_duplicates=forget.near_duplicates,
        ),
    )


def summarise(inputs: ReportInputs) -> Summary:
    """Gather everything a run leaves behind."""
    made = load_record(inputs.candidate_path)
    audit, evaluation = load_audit(inputs.audit_path), load_evaluation(inputs.evaluation_path)
    verdict = load_verdict(inputs.verdict_path)
    attempts = _attempts(inputs.attempts_path, audit, verdict)
    promoted, accepted = _promoted(attempts)
    snapshot, split, forget = _data(inputs, splits.load(inputs.split_path))
    where = settings.from_environment()
    registry = Registry(where.tracking_uri)
    history = overview(registry.versions(inputs.model_name), SHOWN)
    return Summary(
        run_id=inputs.run_name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=made.recipe,
        seed=made.seed,
        commit=made.commit,
        versions=_versions(),
        machine=_machine(made),
        paradigm=made.paradigm,
        method=made.method,
        snapshot=snapshot,
        split=split,
        forget=forget,
        models=_models(inputs, audit, evaluation),
        verdict=verdict,
        attempts=attempts,
        promoted=promoted,
        accepted=accepted,
        registry=RegistrySummary(
            tracking_uri=registry.shown_uri,
            model_name=inputs.model_name,
            versions=_versions_of(inputs.original_version, attempts),
            champion=registry.resolve(inputs.model_name, CHAMPION).version,
            history=history,
        ),
    )
