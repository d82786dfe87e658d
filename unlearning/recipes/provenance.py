"""Where a model comes from, written beside its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from unlearning.audit.escalation import Rung
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.recipes import Recipe

PROVENANCE_FILE = "provenance.json"


class Provenance(Config):
    """How the weights in the same folder were made."""

    method: str
    """`pretrain`, or the unlearning method."""
    recipe: Recipe
    """As it was asked for: what a rung of the ladder strengthens is in `settings`, so that the next request
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
    rung: Rung | None = None
    """Of the ladder of settings; None for an original."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of the method, as they were used; empty for an original."""
    processes: int = Field(1, ge=1)
    """That trained it together: another number adds in another order, and comes to other weights by rounding."""
    diverged: str = ""
    """Why the method made no model with these settings, so that the weights are its parent's; empty where it did."""


def save(provenance: Provenance, model_path: Path) -> None:
    """Write it into the model's folder."""
    write_json(model_path / PROVENANCE_FILE, provenance.model_dump(mode="json"))


def load(model_path: Path) -> Provenance:
    """Read it from the model's folder.

    Raises:
        UserError: missing or damaged.
    """
    path = model_path / PROVENANCE_FILE
    try:
        return Provenance.model_validate(read_json(path, "provenance of the model"))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "top level"
        raise UserError(f"provenance {path}: {key}: {first['msg']}") from None
