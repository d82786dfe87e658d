"""Retrain: the model that candidates are compared with, trained exactly without the forget set, or none."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from unlearning.audit.results import Reference
from unlearning.cluster import launch
from unlearning.cluster.workers import Workers
from unlearning.core.files import new_folder, write_json
from unlearning.learning.devices import choose_device
from unlearning.learning.retrained import NONE_FILE, NoModel
from unlearning.learning.training import TrainResult
from unlearning.recipes import provenance, unlearning

REFERENCE_OFFSET = 1_000_003
"""What candidates are compared with is trained from another seed than anything that may be promoted."""


def retrain_or_none(
    *,
    compare_with: Reference,
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
    if compare_with == "references":
        with new_folder(retrained_path) as folder:
            write_json(folder / NONE_FILE, NoModel(compare_with="references").model_dump())
        return None
    given: dict[str, Any] = {
        "model_path": model_path,
        "snapshot_path": snapshot_path,
        "split_path": split_path,
        "forget_path": forget_path,
        "method": "retrain",
        "overrides": "",
        "seed": seed,
        "device": device,
        "candidate_path": retrained_path,
    }
    if launch.by_workers(launch.UNLEARN, wanted, given, gpus, check=partial(choose_device, device, gpus)):
        return provenance.result_at(retrained_path)
    return unlearning.unlearn(**given, gpus=gpus)
