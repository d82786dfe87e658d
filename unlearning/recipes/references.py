"""A recipe's reference models: its training on halves of the members, and what they show of every record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from unlearning.audit.references import signals as references
from unlearning.audit.references.signals import References, ReferencesManifest
from unlearning.audit.references.training import ReferenceModel, ReferenceTraining, make_references
from unlearning.audit.signals import Measured, measure
from unlearning.core.errors import TrainingDivergedError
from unlearning.core.files import new_folder
from unlearning.data.loading import part
from unlearning.data.records import concatenate
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split
from unlearning.learning import models
from unlearning.learning.checkpoint import Checkpoint, checkpoint_of
from unlearning.learning.models import Model
from unlearning.learning.paradigms import make_paradigm
from unlearning.recipes.pretraining import untrained
from unlearning.recipes.provenance import Provenance
from unlearning.recipes.recipe import Recipe


def training_of(
    recipe: Recipe, snapshot: Snapshot, split: Split, *, count: int, seed: int, device: torch.device
) -> ReferenceTraining:
    """What the references of an original are trained with: all that it was trained with itself."""
    side = recipe.data.image_side
    return ReferenceTraining(
        build=lambda: untrained(recipe, snapshot.manifest),
        paradigm=make_paradigm(recipe.paradigm),
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

    Raises:
        TrainingDivergedError: one did not train.
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
    model_path: Path,
    made: Provenance,
    snapshot: Snapshot,
    split: Split,
    *,
    count: int,
    numbers: Sequence[int],
    device: torch.device,
    references_path: Path,
) -> References:
    """Train the references `numbers` of `count` and write weights and signals; goes on where it was interrupted.

    Args:
        model_path, made: the original, and where it comes from.
        snapshot, split: that it was trained on.
        device: to train on.
        references_path: folder to write.

    Raises:
        TrainingDivergedError: one did not train; nothing is left of the others then.
    """
    original = models.digest(model_path)
    given = training_of(made.recipe, snapshot, split, count=count, seed=made.seed, device=device)
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
        collected, trained = train(given, numbers, original=original, split=split.digest)
    except TrainingDivergedError:
        _delete(checkpoints.values())  # going on from them would only diverge again
        raise
    if 0 in numbers:  # of all parts of a set one has it
        collected = replace(collected, original=_shown_by(models.load(model_path, device), given))
    with new_folder(references_path) as folder:
        references.save(collected, folder)
        for each in trained:
            models.save(each.model, folder / references.model_folder(each.number))
    _delete(checkpoints.values())
    return collected


def _shown_by(original: Model, given: ReferenceTraining) -> Measured:
    """What the original shows of what the references are shown, in the same views."""
    audited = concatenate(given.members, given.holdout)
    return measure(original, given.paradigm, audited, given.signals, seed=given.seed)


def _delete(checkpoints: Iterable[Checkpoint]) -> None:
    for each in checkpoints:
        each.delete()
