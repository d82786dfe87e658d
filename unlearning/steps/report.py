"""Report: the whole run in one page and one JSON document."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Literal

from unlearning import __version__, forgetting, provenance, settings, snapshots, splits, summary
from unlearning import report as page
from unlearning.audit.results import Audit, Verdict
from unlearning.provenance import Provenance
from unlearning.registry import CHAMPION, Registry
from unlearning.splits import PARTS, Split
from unlearning.steps.audit import load_audit
from unlearning.steps.decide import load_verdict
from unlearning.steps.evaluate import EvaluationReport, load_evaluation
from unlearning.summary import (
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


@dataclass(frozen=True)
class ReportInputs:
    """Artifacts and identities of a finished run."""

    original_path: Path
    candidate_path: Path
    retrained_path: Path
    snapshot_path: Path
    split_path: Path
    forget_path: Path
    audit_path: Path
    evaluation_path: Path
    verdict_path: Path
    escalation_path: Path | None
    """The verdict on the exactly retrained candidate, when the run escalated."""
    model_name: str
    versions: dict[str, str]
    """`original`, `unlearned` and, after escalation, `retrained`, to registered versions."""
    run_name: str


def _models(inputs: ReportInputs, audit: Audit, evaluation: EvaluationReport) -> dict[str, ModelSummary]:
    paths = {
        "original": inputs.original_path,
        "unlearned": inputs.candidate_path,
        "retrained": inputs.retrained_path,
    }
    return {
        name: ModelSummary(
            digest=audit.models[audited].model,
            seconds=provenance.load(paths[name]).seconds,
            audit=audit.models[audited],
            accuracies=evaluation.accuracies[audited],
        )
        for name, audited in NAMES.items()
    }


def _promoted(verdict: Verdict, escalation: Verdict | None) -> Literal["unlearned", "retrained"] | None:
    if verdict.outcome == "passed":
        return "unlearned"
    return "retrained" if escalation is not None and escalation.outcome == "passed" else None


def _machine(made: Provenance) -> dict[str, str]:
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
    forget = forgetting.load(inputs.forget_path)
    return (
        SnapshotSummary(
            digest=manifest.digest,
            source=manifest.source,
            licence=manifest.licence,
            records=len(manifest.record_ids),
            duplicates=manifest.duplicates,
        ),
        SplitSummary(digest=split.digest, seed=split.seed, sizes={part: len(getattr(split, part)) for part in PARTS}),
        ForgetSummary(digest=forget.digest, kind=forget.kind, records=len(forget.ids)),
    )


def summarise(inputs: ReportInputs) -> Summary:
    """Gather everything a run leaves behind."""
    made = provenance.load(inputs.candidate_path)
    audit, evaluation = load_audit(inputs.audit_path), load_evaluation(inputs.evaluation_path)
    verdict = load_verdict(inputs.verdict_path)
    escalation = load_verdict(inputs.escalation_path) if inputs.escalation_path else None
    snapshot, split, forget = _data(inputs, splits.load(inputs.split_path))
    where = settings.from_environment()
    registry = Registry(where.tracking_uri)
    return Summary(
        run_id=inputs.run_name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=made.recipe.model_dump(mode="json"),
        seed=made.seed,
        commit=made.commit,
        versions=_versions(),
        machine=_machine(made),
        paradigm=made.recipe.paradigm.name,
        method=made.method,
        snapshot=snapshot,
        split=split,
        forget=forget,
        models=_models(inputs, audit, evaluation),
        verdict=verdict,
        promoted=_promoted(verdict, escalation),
        escalation=escalation,
        registry=RegistrySummary(
            tracking_uri=registry.shown_uri,
            model_name=inputs.model_name,
            versions=inputs.versions,
            champion=registry.resolve(inputs.model_name, CHAMPION).version,
        ),
    )


def report(inputs: ReportInputs, *, summary_path: Path, page_path: Path) -> Summary:
    """Write `summary.json` and `report.html`."""
    gathered = summarise(inputs)
    summary.save(gathered, summary_path)
    page.write(gathered, page_path)
    return gathered
