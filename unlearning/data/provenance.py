"""What is written beside a model's weights about where they come from, for whoever does not read recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, ValidationError

from unlearning.core.config import Checked, Config, first_problem
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, sha256_json

PROVENANCE_FILE = "provenance.json"


class ProvenanceRecord(Config):
    """How the weights in the same folder were made; `unlearning.recipes.provenance` writes it and tells the fields."""

    method: str
    recipe: dict[str, Any]
    seed: int
    seconds: float = Field(ge=0)
    device: str
    commit: str
    snapshot: str
    split: str
    parent: str = ""
    forget: str = ""
    attempt: str | None = Field(None, validation_alias=AliasChoices("attempt", "rung"))
    settings: dict[str, Any] = Field(default_factory=dict)
    processes: int = Field(1, ge=1)
    diverged: str = ""

    @property
    def recipe_name(self) -> str:
        return str(self.recipe["name"])

    @property
    def recipe_digest(self) -> str:
        """SHA-256 over every setting of the recipe."""
        return sha256_json(self.recipe)

    @property
    def paradigm(self) -> str:
        return str(self.recipe["paradigm"]["name"])


def load_record(model_path: Path) -> ProvenanceRecord:
    """Read it from the model's folder.

    Raises:
        UserError: missing or damaged.
    """
    return load_as(ProvenanceRecord, model_path)


def load_as(kind: type[Checked], model_path: Path) -> Checked:
    """Read it from the model's folder, with as much as is known of its fields.

    Raises:
        UserError: missing or damaged.
    """
    path = model_path / PROVENANCE_FILE
    try:
        return kind.model_validate(read_json(path, "provenance of the model"))
    except ValidationError as error:
        raise UserError(f"provenance {path}: {first_problem(error)}") from None


class DataDigests(Config):
    """What a version stands for: digests of its snapshot and of its split."""

    snapshot: str
    split: str
