from __future__ import annotations

from pathlib import Path

import pytest

from unlearning.audit.inspection_results import EVIDENCE_FILE
from unlearning.data.provenance import PROVENANCE_FILE
from unlearning.reporting.evidence import AttemptsFolder, EvidenceFolder


@pytest.fixture
def evidence(tmp_path: Path) -> EvidenceFolder:
    """A folder that holds everything, each file saying what it is."""
    found, candidate = EvidenceFolder(tmp_path / "judged"), tmp_path / "candidate"
    for folder in (found.folder, candidate):
        folder.mkdir()
    for name in ("audit", "evaluation", "verdict", "inspection"):
        getattr(found, name).write_text(name)
    (candidate / PROVENANCE_FILE).write_text("provenance")
    (candidate / "weights.safetensors").write_text("weights")
    found.keep_provenance(candidate)
    return found


def test_evidence_is_files_of_one_folder_and_no_weights(evidence: EvidenceFolder) -> None:
    found = {path.name: path.read_text() for path in evidence.folder.iterdir()}
    assert found == {
        "audit.json": "audit",
        "evaluation.json": "evaluation",
        "verdict.json": "verdict",
        EVIDENCE_FILE: "inspection",
        PROVENANCE_FILE: "provenance",
    }
    assert {name: path.read_text() for name, path in evidence.judged().items()} == {
        "audit_path": "audit", "evaluation_path": "evaluation", "verdict_path": "verdict",
    }  # fmt: skip


def test_the_attempts_hand_on_what_the_report_shows(evidence: EvidenceFolder, tmp_path: Path) -> None:
    first, second = AttemptsFolder(tmp_path / "first"), AttemptsFolder(tmp_path / "second")
    for each, shown in ((first, evidence), (second, first.shown)):
        each.folder.mkdir()
        each.attempts.write_text("attempts")
        each.show(shown)
    paths = second.report_paths()
    assert (paths.pop("candidate_path") / PROVENANCE_FILE).read_text() == "provenance"
    assert {name: path.read_text() for name, path in paths.items()} == {
        "audit_path": "audit", "evaluation_path": "evaluation", "verdict_path": "verdict",
        "evidence_path": "inspection", "attempts_path": "attempts",
    }  # fmt: skip
    assert all(second.folder in path.parents for path in paths.values())
