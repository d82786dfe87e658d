"""`summary.json`: the whole run in one validated document. Documented in docs/summary.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from unlearning.audit import results
from unlearning.audit.escalation import RETRAINED, Action, Rung
from unlearning.audit.results import Interval, ModelAudit, Verdict
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json

SCHEMA_VERSION: Literal[3] = 3


class Accuracies(Config):
    """Shares of correctly classified records; 1 is perfect, 1 / number of classes is chance."""

    knn: Interval
    """Test records by weighted kNN on backbone features, gallery of retained members."""
    linear_probe: Interval
    """Test records by logistic regression on backbone features of retained members."""
    classifier: Interval | None = None
    """Test records by the model's own classifier; None for contrastive models."""
    forget_knn: Interval | None = None
    """Records of the forget set by the same weighted kNN; the ideal is the retrained value, unknown where nothing
    was retrained. None before anything is forgotten."""


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


class NearDuplicateCounts(Config):
    """Kept members that nearly repeat what was asked to be forgotten."""

    found: int = Field(ge=0)
    """By their pixels: nearly the same picture."""
    alike: int = Field(ge=0)
    """Others that the model hardly tells apart from a forgotten record; most of them are strangers."""
    included: bool
    """Whether those found were added to the forget set."""


class ForgetSummary(Config):
    """What was forgotten. Digests and counts only: record ids stay in the run's folder."""

    digest: str
    kind: str
    records: int
    near_duplicates: NearDuplicateCounts | None = None
    """None where nobody looked for them."""


class RungSummary(Config):
    """A candidate of the ladder: what was tried, how it was judged, and what followed."""

    rung: Rung
    method: str
    settings: dict[str, Any]
    """Of the method, as they were used."""
    digest: str
    seconds: float = Field(ge=0)
    """Wall time of the unlearning or retraining that made it."""
    verdict: Verdict
    action: Action
    """What followed the verdict."""
    version: str
    """Registered version, which holds the candidate's own audit; `none` where the method diverged."""


class VersionSummary(Config):
    """A version of the model, for the drawing of its history."""

    version: str
    parent: str
    """Version it was made from, or `none`."""
    kind: str
    method: str
    status: str
    verdict: str
    """Its outcome, or `none`."""
    serves: bool
    requests: int = Field(ge=0)
    """How many erasure requests it honours."""


class RegistrySummary(Config):
    """Where MLflow keeps it."""

    tracking_uri: str
    model_name: str
    versions: dict[str, str]
    """Model to registered version, such as {"original": "1", "unlearned": "2"}; `retrained` is the candidate
    of that rung, not the reference."""
    champion: str
    """The version that serves after this run."""
    history: tuple[VersionSummary, ...] = ()
    """The model's newest versions when the run ended, oldest first."""


class Summary(Config):
    """A finished run of the unlearning pipeline."""

    schema_version: Literal[3] = SCHEMA_VERSION
    run_id: str
    created: str
    recipe: dict[str, Any]
    """As it was asked for; what was strengthened is in `rungs`."""
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
    """`original`, `unlearned` and, unless references were compared with, `retrained`, in this order."""
    verdict: Verdict
    """On the unlearned model: the candidate of the last rung before exact retraining."""
    rungs: tuple[RungSummary, ...] = Field(min_length=1)
    """Every candidate of the run, in the order they were tried."""
    promoted: Literal["unlearned", "retrained"] | None
    """What became champion: the unlearned model, a candidate that was retrained exactly, or nothing."""
    accepted: str | None = None
    """Under which statement it became champion without having passed; None where it passed, or nothing did."""
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


RUNGS = TypeAdapter(tuple[RungSummary, ...])


def save_rungs(rungs: tuple[RungSummary, ...], path: Path) -> None:
    """Write what was tried so far."""
    write_json(path, RUNGS.dump_python(rungs, mode="json"))


def load_rungs(path: Path) -> tuple[RungSummary, ...]:
    """Read what was tried so far.

    Raises:
        UserError: missing or damaged.
    """
    try:
        return RUNGS.validate_python(read_json(path, "rungs of the ladder"))
    except ValidationError as error:
        raise UserError(f"rungs of the ladder {path} are not valid: {error.errors()[0]['msg']}") from None


def last_unlearned(rungs: tuple[RungSummary, ...]) -> RungSummary:
    """The last candidate before exact retraining, the one called `unlearned`.

    Raises:
        UserError: the ladder begins with exact retraining.
    """
    found = [each for each in rungs if each.rung != RETRAINED]
    if not found:
        raise UserError("the ladder has no rung before exact retraining: give the rungs of the whole run")
    return found[-1]


def retraining_seconds(summary: Summary) -> float | None:
    """Seconds of exact retraining, as a reference or as the last rung; None where nothing was retrained."""
    if "retrained" in summary.models:
        return summary.models["retrained"].seconds
    return next((each.seconds for each in summary.rungs if each.rung == RETRAINED), None)


def strongest_attack(summary: Summary) -> str:
    """Name of the attack with the largest AUC on the original.

    Raises:
        UserError: the summary holds no attack on an original model.
    """
    if "original" not in summary.models or not summary.models["original"].audit.attacks:
        raise UserError("summary: models.original.audit.attacks: no attack on the original to compare with")
    return results.strongest_attack(summary.models["original"].audit)
