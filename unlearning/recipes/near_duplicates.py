"""Near-duplicates of a forget set, as the recipe of the model that is to forget looks for them."""

from __future__ import annotations

from pathlib import Path

from unlearning.data.forget_set import ForgetSet
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split
from unlearning.learning import models, near_duplicates
from unlearning.learning.devices import choose_device, deterministic
from unlearning.learning.near_duplicates import NearDuplicates
from unlearning.recipes import provenance
from unlearning.recipes.provenance import check_split


def find(
    model_path: Path, snapshot: Snapshot, split: Split, forget: ForgetSet, *, device: str, gpus: int = 0
) -> NearDuplicates:
    """Look among the kept members for repetitions of what is to be forgotten.

    Raises:
        UserError: the model was trained on another split, or the device is not there.
    """
    made = provenance.load(model_path)
    check_split(made, split)
    chosen, recipe = choose_device(device, gpus), made.recipe
    deterministic()
    return near_duplicates.find(
        snapshot,
        split,
        forget,
        models.load(model_path, chosen),
        side=recipe.data.image_side,
        config=recipe.near_duplicates,
        device=chosen,
    )
