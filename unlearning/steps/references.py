"""References: models trained on halves of the members, for every later audit of one original."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from unlearning.audit.references import signals as references
from unlearning.audit.references.plan import check_count
from unlearning.audit.references.signals import References, ReferencesManifest
from unlearning.audit.references.training import ReferenceModel, ReferenceTraining, make_references
from unlearning.compliance.retention.tombstones import refuse_erased_in
from unlearning.core import settings
from unlearning.core.errors import TrainingDivergedError, UserError
from unlearning.core.files import new_folder
from unlearning.data.loading import load_split, part
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split
from unlearning.learning import models
from unlearning.learning.checkpoint import Checkpoint, checkpoint_of
from unlearning.learning.devices import choose_device, deterministic
from unlearning.learning.paradigms import make_paradigm
from unlearning.recipes import provenance
from unlearning.recipes.provenance import check_split
from unlearning.recipes.recipe import Recipe
from unlearning.storage.keys import references_key
from unlearning.storage.open import open_store


def training_of(
    recipe: Recipe, snapshot: Snapshot, split: Split, *, count: int, seed: int, device: torch.device
) -> ReferenceTraining:
    """What the references of an original are trained with: all that it was trained with itself."""
    paradigm, side = make_paradigm(recipe.paradigm), recipe.data.image_side
    shape, classes = (snapshot.manifest.image_shape[0], side, side), snapshot.manifest.class_names
    return ReferenceTraining(
        build=lambda: paradigm.build(recipe.encoder, shape, classes),
        paradigm=paradigm,
        members=part(snapshot, split.members, side, device),
        holdout=part(snapshot, split.holdout, side, device),
        training=recipe.training,
        signals=recipe.signals,
        count=count,
        seed=seed,
    )


def train(
    given: ReferenceTraining, numbers: Sequence[int], *, original: str, split: str
) -> tuple[References, list[ReferenceModel]]:
    """Train the references `numbers`: what they show, and they themselves.

    Args:
        original, split: digests of what they belong to.
    """
    made = make_references(given, numbers)
    manifest = ReferencesManifest(
        original=original,
        split=split,
        count=given.count,
        seed=given.seed,
        signals=given.signals,
        numbers=tuple(numbers),
        seconds=tuple(each.seconds for each in made),
    )
    return references.collect(manifest, made, given.trained), made


def make(
    *,
    model_path: Path,
    snapshot_path: Path,
    split_path: Path,
    count: int,
    numbers: Sequence[int],
    device: str,
    gpus: int = 0,
    references_path: Path,
) -> References:
    """Train the references `numbers` of `count` and write weights and signals; goes on where it was interrupted.

    Raises:
        UserError: not an original, not trained on this split, or on records that were erased since.
    """
    check_count(count)
    made = provenance.load(model_path)
    snapshot, split = load_split(snapshot_path, split_path)
    if made.parent:
        raise UserError(f"{model_path} was unlearned: references are made for an original, before it forgets")
    check_split(made, split)
    refuse_erased_in(snapshot.manifest)
    chosen = choose_device(device, gpus)
    deterministic()
    original = models.digest(model_path)
    given = training_of(made.recipe, snapshot, split, count=count, seed=made.seed, device=chosen)
    checkpoints = {
        number: checkpoint_of(
            "references",
            {"original": original, "split": split.digest, "count": count, "number": number},
            split,
            made.recipe.checkpoint_every,
            name=f"{number:03d}",
            last=True,
        )
        for number in numbers
    }
    given = replace(given, checkpoints=checkpoints)
    try:
        collected, found = train(given, numbers, original=original, split=split.digest)
    except TrainingDivergedError:
        _delete(checkpoints.values())  # going on from them would only diverge again
        raise
    with new_folder(references_path) as folder:
        references.save(collected, folder)
        for each in found:
            models.save(each.model, folder / references.model_folder(each.number))
    _delete(checkpoints.values())
    return collected


def _delete(checkpoints: Iterable[Checkpoint]) -> None:
    for each in checkpoints:
        each.delete()


def gather(*, parts: Sequence[Path], references_path: Path) -> References:
    """One set out of its parts, kept in the store.

    Raises:
        UserError: the parts are not all parts of one set.
    """
    merged = references.merge([references.load(path) for path in parts])
    with new_folder(references_path) as folder:
        references.save(merged, folder)
        for path in parts:
            if (path / references.MODELS_FOLDER).is_dir():
                shutil.copytree(path / references.MODELS_FOLDER, folder / references.MODELS_FOLDER, dirs_exist_ok=True)
    if merged.manifest.count:
        store = open_store(settings.from_environment().store)
        store.put_folder(references_key(merged.manifest.original), references_path)
    return merged
