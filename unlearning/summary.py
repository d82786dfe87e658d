"""`summary.json`: the whole run in one validated document. Documented in docs/summary.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from unlearning.audit import results
from unlearning.audit.results import Interval, ModelAudit, Verdict
from unlearning.config import Config
from unlearning.errors import UserError
from unlearning.files import read_json, write_json

SCHEMA_VERSION: Literal[1] = 1


class Accuracies(Config):
    """Shares of correctly classified records; 1 is perfect, 1 / number of classes is chance."""

    knn: Interval
    """Test records by weighted kNN on backbone features, gallery of retained members."""
    linear_probe: Interval
    """Test records by logistic regression on backbone features of retained members."""
    classifier: Interval | None = None
    """Test records by the model's own classifier; None for contrastive models."""
    forget_knn: Interval | None = None
    """Records of the forget set by the same weighted kNN; the ideal is the retrained value. None
    before anything is forgotten."""


class ModelSummary(Config):
    """One model of the run."""

    digest: str
    seconds: float = Field(ge=0)
    """Wall time of the training or unlearning that made it."""
    audit: ModelAudit
    accuracies: Accuracies


class SnapshotSummary(Config):
    """What was trained on."""

    digest: str
    source: str
    licence: str
    records: int
    duplicates: int


class SplitSummary(Config):
    """How it was divided."""

    digest: str
    seed: int
    sizes: dict[str, int]


class ForgetSummary(Config):
    """What was forgotten. Digests and counts only: record ids stay in the run's folder."""

    digest: str
    kind: str
    records: int


class RegistrySummary(Config):
    """Where MLflow keeps it."""

    tracking_uri: str
    model_name: str
    versions: dict[str, str]
    """Model of this summary to registered version, such as {"original": "1", "unlearned": "2"}."""
    champion: str
    """The version that serves after this run."""


class Summary(Config):
    """A finished run of the unlearning pipeline."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    created: str
    recipe: dict[str, Any]
    seed: int
    commit: str
    versions: dict[str, str]
    machine: dict[str, str]
    paradigm: str
    method: str
    snapshot: SnapshotSummary
    split: SplitSummary
    forget: ForgetSummary
    models: dict[str, ModelSummary]
    """`original`, `unlearned`, `retrained`, in this order."""
    verdict: Verdict
    promoted: Literal["unlearned", "retrained"] | None
    """What became champion: the unlearned model, an exactly retrained one after escalation, or
    nothing."""
    escalation: Verdict | None = None
    """The verdict on the exactly retrained model, when the first one was not `passed`."""
    registry: RegistrySummary


def save(summary: Summary, path: Path) -> None:
    """Write the document in one step."""
    write_json(path, summary.model_dump(mode="json"))


def load(path: Path) -> Summary:
    """Read and validate the document.

    Raises:
        UserError: missing, or not a summary of this schema version.
    """
    try:
        return Summary.model_validate(read_json(path, "summary"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"summary {path}: {where}: {first['msg']}") from None


def strongest_attack(summary: Summary) -> str:
    """Name of the attack with the largest AUC on the original.

    Raises:
        UserError: the summary holds no attack on an original model.
    """
    if "original" not in summary.models or not summary.models["original"].audit.attacks:
        raise UserError("summary: models.original.audit.attacks: no attack on the original to compare with")
    return results.strongest_attack(summary.models["original"].audit)
