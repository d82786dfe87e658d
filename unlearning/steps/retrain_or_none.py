"""Retrain: the model that candidates are compared with, trained exactly without the forget set, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from unlearning.audit import escalation
from unlearning.cluster.launch import unlearn
from unlearning.cluster.workers import Workers
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import new_folder, read_json, write_json
from unlearning.steps.pretrain import TrainResult

NONE_FILE = "none.json"


class NoModel(Config):
    """What lies in the place of the retrained model where none is wanted."""

    compare_with: Literal["references"]


def retrain_or_none(
    *,
    compare_with: str,
    model_path: Path,
    snapshot_path: Path,
    split_path: Path,
    forget_path: Path,
    seed: int,
    device: str,
    gpus: int = 0,
    wanted: Workers = Workers(),  # noqa: B008 - cannot be changed
    retrained_path: Path,
) -> TrainResult | None:
    """Retrain the model exactly, or write that there is none, without any training.

    Args:
        compare_with: `retrained`, or `references` where those of the original decide.
        wanted: who trains.
        retrained_path: folder of the retrained model, or of the word that there is none.

    Returns:
        What was trained; None where nothing was.

    Raises:
        UserError: `compare_with` is unknown, or model, data and forget set do not belong together.
    """
    if escalation.compare_with_named(compare_with) == "references":
        with new_folder(retrained_path) as folder:
            write_json(folder / NONE_FILE, NoModel(compare_with="references").model_dump())
        return None
    return unlearn(
        wanted,
        model_path=model_path,
        snapshot_path=snapshot_path,
        split_path=split_path,
        forget_path=forget_path,
        method="retrain",
        overrides="",
        seed=seed,
        device=device,
        gpus=gpus,
        candidate_path=retrained_path,
    )


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
