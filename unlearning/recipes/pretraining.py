"""A recipe's training: members to a model, with τ for stage 2 measured on the way out."""

from __future__ import annotations

import time
from pathlib import Path

from unlearning.core import settings
from unlearning.core.errors import TrainingDivergedError
from unlearning.core.seeding import initialisation
from unlearning.data.loading import part
from unlearning.data.records import Records
from unlearning.data.snapshots import Manifest, Snapshot
from unlearning.data.splits import Split
from unlearning.learning import models
from unlearning.learning.checkpoint import checkpoint_of
from unlearning.learning.devices import choose_device, deterministic
from unlearning.learning.input_gradients import TARGET_QUANTILES, measure_gradient_target
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm, make_paradigm
from unlearning.learning.training import TrainResult, train
from unlearning.recipes import provenance
from unlearning.recipes.provenance import Provenance
from unlearning.recipes.recipe import Recipe


def untrained(recipe: Recipe, manifest: Manifest) -> Model:
    """The recipe's model for the images of a snapshot, with weights from torch's global generator."""
    side = recipe.data.image_side
    shape = (manifest.image_shape[0], side, side)
    return make_paradigm(recipe.paradigm).build(recipe.encoder, shape, manifest.class_names)


def store_gradient_target(
    model: Model, paradigm: Paradigm, recipe: Recipe, *, nonmembers: Records, members: Records, seed: int
) -> None:
    """Measure τ on non-members once, so that stage 2 need not look at any."""
    target = measure_gradient_target(
        model,
        paradigm,
        nonmembers,
        members,
        batch_size=2 * recipe.methods.gradient_matching_stage2.forget_batch,
        quantiles=TARGET_QUANTILES,
        seed=seed,
    )
    model.spec = model.spec.model_copy(update={"gradient_target": target})


def pretrain(
    recipe: Recipe, snapshot: Snapshot, split: Split, *, seed: int, device: str, gpus: int = 0, model_path: Path
) -> TrainResult:
    """Train the recipe's model on the members; goes on from its checkpoint when it was interrupted.

    Raises:
        UserError: the device is not there.
        TrainingDivergedError: a loss was not finite.
    """
    where, chosen = settings.from_environment(), choose_device(device, gpus)
    deterministic()
    paradigm = make_paradigm(recipe.paradigm)
    side = recipe.data.image_side
    members = part(snapshot, split.members, side, chosen)
    with initialisation(seed, "pretrain"):
        model = untrained(recipe, snapshot.manifest)
    fingerprint = {"recipe": recipe.model_dump(mode="json"), "seed": seed, "split": split.digest}
    checkpoint = checkpoint_of("pretrain", fingerprint, split, recipe.checkpoint_every)
    begun = time.perf_counter()
    try:
        train(
            model.to(chosen), paradigm, members, recipe.training, seed=seed, purpose="pretrain", checkpoint=checkpoint
        )
    except TrainingDivergedError:
        checkpoint.delete()  # going on from it would only diverge again
        raise
    seconds = time.perf_counter() - begun
    calibration = part(snapshot, split.calibration, side, chosen)
    store_gradient_target(model, paradigm, recipe, nonmembers=calibration, members=members, seed=seed)
    models.save(model, model_path)
    made = Provenance(
        method="pretrain",
        recipe=recipe,
        seed=seed,
        seconds=seconds,
        device=chosen.type,
        commit=where.commit,
        snapshot=snapshot.manifest.digest,
        split=split.digest,
    )
    provenance.save(made, model_path)
    checkpoint.delete()
    return TrainResult(models.digest(model_path), seconds, chosen.type)
