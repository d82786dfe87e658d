"""Pretrain: a model that knows its members, with τ for stage 2 measured on the way out."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from unlearning.cluster import launch
from unlearning.cluster.workers import Workers
from unlearning.compliance.retention.tombstones import refuse_erased_in
from unlearning.core.files import read_json
from unlearning.data.loading import load_split
from unlearning.learning.devices import choose_device
from unlearning.learning.training import TrainResult
from unlearning.recipes import pretraining, provenance
from unlearning.recipes.recipe import validate_recipe


def pretrain(
    *,
    snapshot_path: Path,
    split_path: Path,
    recipe_path: Path,
    seed: int,
    device: str,
    gpus: int = 0,
    wanted: Workers = Workers(),  # noqa: B008 - cannot be changed
    model_path: Path,
) -> TrainResult:
    """Train the recipe's model on the members; resumes from its checkpoint when interrupted.

    Args:
        wanted: who trains; this process alone unless it says otherwise.

    Raises:
        UserError: data that do not belong together, or that hold records that were erased since; or a worker failed.
    """
    paths = {"snapshot_path": snapshot_path, "split_path": split_path, "recipe_path": recipe_path}
    given = {**paths, "seed": seed, "device": device, "model_path": model_path}
    if launch.by_workers(launch.PRETRAIN, wanted, given, gpus, check=partial(choose_device, device, gpus)):
        return provenance.result_at(model_path)
    recipe = validate_recipe(read_json(recipe_path, "recipe"), str(recipe_path))
    snapshot, split = load_split(snapshot_path, split_path)
    refuse_erased_in(snapshot)
    return pretraining.pretrain(recipe, snapshot, split, seed=seed, device=device, gpus=gpus, model_path=model_path)
