"""Where a model comes from, written beside its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from unlearning.audit.escalation import AttemptName
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import write_json
from unlearning.data.forget_set import ForgetSet
from unlearning.data.provenance import PROVENANCE_FILE, ProvenanceRecord, load_as
from unlearning.data.splits import Split
from unlearning.learning import models
from unlearning.learning.training import TrainResult
from unlearning.recipes.recipe import Recipe, with_present_names


class Provenance(Config):
    """How the weights in the same folder were made."""

    method: str
    """`pretrain`, or the unlearning method."""
    recipe: Annotated[Recipe, BeforeValidator(with_present_names)]
    """As it was asked for: what an attempt escalates is in `settings`, so that the next request
    starts from the first setting again."""
    seed: int
    seconds: float = Field(ge=0)
    device: str
    commit: str
    snapshot: str
    split: str
    parent: str = ""
    """Digest of the model it was unlearned from; empty for an original."""
    forget: str = ""
    """Digest of the forget set; empty for an original."""
    attempt: AttemptName | None = Field(None, validation_alias=AliasChoices("attempt", "rung"))
    """Of the escalation policy; None for an original."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of the method, as they were used; empty for an original."""
    processes: int = Field(1, ge=1)
    """That trained it together: another number adds in another order, and comes to other weights by rounding."""
    diverged: str = ""
    """Why the method made no model with these settings, so that the weights are its parent's; empty where it did."""

    def record(self) -> ProvenanceRecord:
        """The same without types of ours in it."""
        return ProvenanceRecord.model_validate(self.model_dump(mode="json"))


@dataclass(frozen=True)
class UnlearnResult(TrainResult):
    """A candidate."""

    diverged: str = ""
    """Why it is the model as it was; empty where the method made one."""


def save(provenance: Provenance, model_path: Path) -> None:
    """Write it into the model's folder."""
    write_json(model_path / PROVENANCE_FILE, provenance.model_dump(mode="json"))


def load(model_path: Path) -> Provenance:
    """Read it from the model's folder.

    Raises:
        UserError: missing or damaged.
    """
    return load_as(Provenance, model_path)


def check_split(made: Provenance, split: Split) -> None:
    """The split is the one that the model was trained on.

    Raises:
        UserError: it was trained on another.
    """
    if made.split != split.digest:
        raise UserError(
            f"the model was trained on split {made.split[:12]}, not {split.digest[:12]}: give its own split"
        )


def check_belongs(made: Provenance, split: Split, forget: ForgetSet) -> None:
    """Model, split and forget set are of one piece.

    Raises:
        UserError: the model was trained on another split, or the forget set chosen from another.
    """
    check_split(made, split)
    if forget.split != split.digest:
        raise UserError(
            f"the forget set was chosen from split {forget.split[:12]}, not {split.digest[:12]}: select again"
        )


def check_made_from(original: Path, forget: ForgetSet, *, candidate: Path, retrained: Path | None) -> None:
    """Candidate and retrained model were made from this original and this forget set.

    A candidate compared with anything but an exactly retrained model of its own could pass unforgotten.

    Raises:
        UserError: one of them was not, the retrained model was made by another method, or is the candidate.
    """
    parent = models.digest(original)
    for name, path in (("candidate", candidate), ("retrained", retrained)):
        if path is None:
            continue
        made = load(path)
        if made.parent != parent or made.forget != forget.digest:
            raise UserError(f"{name} {path} was not made from this original and this forget set: give the one that was")
    if retrained is None:
        return
    if load(retrained).method != "retrain":
        raise UserError(f"{retrained} is not a retrained model: make the reference with the method retrain")
    if models.digest(candidate) == models.digest(retrained):
        raise UserError("the candidate is its own reference: retrain the reference from another seed")


def result_at(model_path: Path) -> UnlearnResult:
    """What the training or unlearning came to that wrote this folder.

    Raises:
        UserError: missing or damaged.
    """
    made = load(model_path)
    return UnlearnResult(models.digest(model_path), made.seconds, made.device, made.diverged)
