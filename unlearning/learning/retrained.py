"""The exactly retrained model, or the word that there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json

NONE_FILE = "none.json"


class NoModel(Config):
    """What lies in the place of the retrained model where none is wanted."""

    compare_with: Literal["references"]


def retrained_at(path: Path | None) -> Path | None:
    """The folder of the retrained model; None where none was given, or where the folder says that there is none.

    Raises:
        UserError: the folder says something else.
    """
    if path is None or not (path / NONE_FILE).exists():
        return path
    try:
        NoModel.model_validate(read_json(path / NONE_FILE, "word that nothing was retrained"))
    except ValidationError as error:
        raise UserError(f"retrained model {path}: {NONE_FILE}: {error.errors()[0]['msg']}: retrain again") from None
    return None
