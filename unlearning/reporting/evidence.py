"""What is known of a judged candidate, as files of one folder, and the folder of a run's attempts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from unlearning.audit.inspection_results import EVIDENCE_FILE
from unlearning.data.provenance import PROVENANCE_FILE

ATTEMPTS_FILE = "attempts.json"
SHOWN_FOLDER = "shown"


@dataclass(frozen=True)
class EvidenceFolder:
    """Audit, evaluation, verdict and figures of one candidate, and how it was made; no weights and no images."""

    folder: Path

    @property
    def audit(self) -> Path:
        return self.folder / "audit.json"

    @property
    def evaluation(self) -> Path:
        return self.folder / "evaluation.json"

    @property
    def verdict(self) -> Path:
        return self.folder / "verdict.json"

    @property
    def inspection(self) -> Path:
        """The numbers behind the figures."""
        return self.folder / EVIDENCE_FILE

    def judged(self) -> dict[str, Path]:
        """What a verdict rests on and the verdict, as the arguments of steps."""
        return {"audit_path": self.audit, "evaluation_path": self.evaluation, "verdict_path": self.verdict}

    def keep_provenance(self, candidate: Path) -> None:
        """Copy how the candidate was made: the report tells it when the weights are elsewhere."""
        shutil.copyfile(candidate / PROVENANCE_FILE, self.folder / PROVENANCE_FILE)


@dataclass(frozen=True)
class AttemptsFolder:
    """Every attempt of a run so far, and the evidence of the one that its report shows."""

    folder: Path

    @property
    def attempts(self) -> Path:
        return self.folder / ATTEMPTS_FILE

    @property
    def shown(self) -> EvidenceFolder:
        return EvidenceFolder(self.folder / SHOWN_FOLDER)

    def report_paths(self) -> dict[str, Path]:
        """What the report reads, as its arguments; of the candidate it needs no more than how it was made."""
        shown = self.shown
        more = {"candidate_path": shown.folder, "evidence_path": shown.inspection, "attempts_path": self.attempts}
        return shown.judged() | more

    def show(self, evidence: EvidenceFolder) -> None:
        """Copy the evidence that the report shows."""
        shutil.copytree(evidence.folder, self.shown.folder)
