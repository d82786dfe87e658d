"""`evidence.json`: what an inspection measured of models, the numbers behind the paper's figures.

Measured by `unlearning.audit.inspection`, drawn by `unlearning.reporting.figures.paper`. No image and no record id is
among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from unlearning.core.config import Config, read_config
from unlearning.core.files import write_json

EVIDENCE_FILE = "evidence.json"

GROUPS = ("forget", "retained", "holdout")
"""Of records, when a model has unlearned: the forgotten, the other members, and the non-members."""

SIDES = ("members", "non_members")
"""Of records, while a model is trained."""


class Sample(Config):
    """Values of one group of records, rounded to five digits."""

    values: tuple[float, ...] = Field(min_length=1)

    @classmethod
    def rounded(cls, values: Iterable[float]) -> Sample:
        """To five digits, which is more than a figure shows."""
        return cls(values=tuple(float(f"{value:.5g}") for value in values))

    @property
    def mean(self) -> float:
        """Of the values."""
        return float(np.mean(self.values))


class Neighbourhood(Config):
    """Nearest retained members of a group's records in a model's feature space."""

    cosine: Sample = Field(description="Of a record with the nearest.")
    same_class: float = Field(ge=0, le=1, description="Share of the nearest that have the record's class.")
    kept: float = Field(ge=0, le=1, description="Share of the nearest that were among the original's nearest.")


class ModelEvidence(Config):
    """One model, before or after unlearning, or retrained."""

    log_gradients: dict[str, Sample] = Field(description="log g by group; members have small ones.")
    losses: dict[str, Sample] = Field(description="Per-record loss by group, mean over views.")
    embedding: dict[str, tuple[tuple[float, float], ...]] = Field(description="Features on two axes, by group.")
    neighbours: dict[str, Neighbourhood] = Field(description="Of forgotten records and of non-members, by group.")


class Epoch(Config):
    """A training after so many epochs."""

    epoch: int
    view_similarity: dict[str, Sample] = Field(description="Mean cosine of outputs of a record's views, by side.")
    probability: dict[str, Sample] = Field(
        description="Probability of the right answer: exp(−loss). Empty for BYOL, whose loss is no likelihood."
    )

    @field_validator("view_similarity", "probability", mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        """Also what was written when non-members were called strangers."""
        if not isinstance(given, Mapping) or "strangers" not in given:
            return given
        if "non_members" in given:
            raise ValueError("names the non-members twice, as non_members and as strangers")
        return {"non_members" if side == "strangers" else side: values for side, values in given.items()}


class InspectionResults(Config):
    """Everything that the paper's figures are drawn from."""

    paradigm: str
    digests: dict[str, str] = Field(description="SHA-256 of the weights that were measured, by model.")
    models: dict[str, ModelEvidence]
    training: tuple[Epoch, ...] = Field((), description="Empty when the training was not done again.")


def save(evidence: InspectionResults, path: Path) -> None:
    """Write the document in one step."""
    write_json(path, evidence.model_dump(mode="json"))


def load(path: Path) -> InspectionResults:
    """Read and validate the document.

    Raises:
        UserError: missing, or not evidence.
    """
    return read_config(InspectionResults, path, "evidence", "measure it again with unlearn figures")
