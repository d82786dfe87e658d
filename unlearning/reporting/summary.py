"""`summary.json`: the whole run in one validated document. Documented in docs/summary.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field

from unlearning.audit import results
from unlearning.audit.escalation import RETRAINED, AttemptSummary
from unlearning.audit.results import Accuracies, Interval, ModelAudit, Verdict
from unlearning.core.config import Config, read_config
from unlearning.core.errors import UserError
from unlearning.core.files import write_json
from unlearning.data.forget_selection import NearDuplicateCounts
from unlearning.registry.overview import VersionSummary

SCHEMA_VERSION: Literal[4] = 4

RetainedFate = Literal["kept", "blurred", "unsettled"]
"""Whether the members that stay are known as they should be: no less than by the model that is compared with, within
the margin of AUCs; less than that; or the interval holds both."""


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
    near_duplicates: NearDuplicateCounts | None = None
    """None where nobody looked for them."""


class RegistrySummary(Config):
    """Where MLflow keeps it."""

    tracking_uri: str
    model_name: str
    versions: dict[str, str]
    """Model to registered version, such as {"original": "1", "unlearned": "2"}; `retrained` is the candidate
    of that attempt, not the reference."""
    champion: str
    """The version that serves after this run."""
    history: tuple[VersionSummary, ...] = ()
    """The model's newest versions when the run ended, oldest first."""


def _newest(version: object) -> object:
    """Version 3 differs from 4 in names alone, which the fields know: read as version 4."""
    return SCHEMA_VERSION if version == 3 else version


class Summary(Config):
    """A finished run of the unlearning pipeline."""

    schema_version: Annotated[Literal[4], BeforeValidator(_newest)] = SCHEMA_VERSION
    run_id: str
    created: str
    recipe: dict[str, Any]
    """As it was asked for; what was escalated is in `attempts`."""
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
    """On the unlearned model: the candidate of the last attempt before exact retraining."""
    attempts: tuple[AttemptSummary, ...] = Field(min_length=1, validation_alias=AliasChoices("attempts", "rungs"))
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
    return read_config(Summary, path, "summary")


def retraining_seconds(summary: Summary) -> float | None:
    """Seconds of exact retraining, as a reference or as the last attempt; None where nothing was retrained."""
    if "retrained" in summary.models:
        return summary.models["retrained"].seconds
    return next((each.seconds for each in summary.attempts if each.name == RETRAINED), None)


def strongest_attack(summary: Summary) -> str:
    """Name of the attack with the largest AUC on the original.

    Raises:
        UserError: the summary holds no attack on an original model.
    """
    if "original" not in summary.models or not summary.models["original"].audit.attacks:
        raise UserError("summary: models.original.audit.attacks: no attack on the original to compare with")
    return results.strongest_attack(summary.models["original"].audit)


def farthest_attack(summary: Summary) -> str:
    """Name of the attack that comes nearest to the verdict's margin, or goes beyond it most, of those that every model
    was attacked with; where nothing was compared, the strongest on the original.

    Raises:
        UserError: see `strongest_attack`.
    """
    strongest = strongest_attack(summary)
    known = {attack.name for attack in summary.models["original"].audit.attacks}
    found = results.farthest([each for each in summary.verdict.comparisons if each.attack in known])
    return strongest if found is None else found.attack


def retained_loss(model: ModelSummary) -> float | None:
    """Mean loss of retained members; None where the audit did not measure it."""
    return next((-each.mean_retained for each in model.audit.signals if each.name == "loss"), None)


def retained_fate(unlearned: Interval, wanted: Interval, margin: float) -> RetainedFate:
    """Whether the model still knows the members that stay.

    Args:
        unlearned, wanted: AUC of the loss on retained members, of the unlearned model and of the one that it is
            compared with.
        margin: of AUCs.
    """
    least = wanted.estimate - margin
    if unlearned.low >= least:
        return "kept"
    return "blurred" if unlearned.high < least else "unsettled"
