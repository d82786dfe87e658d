"""References: models trained on halves of the members, for every later audit of one original."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from unlearning.audit.references import signals as references
from unlearning.audit.references.plan import check_count
from unlearning.audit.references.signals import References, ReferencesManifest
from unlearning.audit.references.training import Reference, ReferenceTraining, make_references
from unlearning.audit.signals import SignalConfig
from unlearning.core import settings
from unlearning.core.errors import TrainingDivergedError, UserError
from unlearning.core.files import new_folder
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split
from unlearning.learning import models
from unlearning.learning.devices import choose_device, deterministic
from unlearning.learning.paradigms import make_paradigm
from unlearning.learning.training import Checkpoint
from unlearning.recipes import Recipe, provenance
from unlearning.steps.data import checkpoint_of, load_split, part, refuse_erased_in
from unlearning.steps.unlearn import check_split
from unlearning.storage.store import Store, open_store

GROUPS = ("class", "cluster")
"""Kinds of forget sets that go together: every reference has seen others of the group."""


def check_comparable(kind: str) -> None:
    """Refuse to judge by references what a model shows of a whole group that it never saw.

    References never saw half of the records, but others like them: beside references a model that knows
    nothing of the group looks over-forgotten, and one that still knows it could pass.

    Raises:
        UserError: the kind of forget set is one of `GROUPS`.
    """
    if kind in GROUPS:
        raise UserError(
            f"forget kind {kind} cannot be compared with references, each of which has seen others of the {kind}: "
            "give compare_with retrained"
        )


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
) -> tuple[References, list[Reference]]:
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


def references_key(original: str) -> str:
    """Where an original's references lie in the store: beside its data, since they know the members as it does."""
    return f"references/{original}"


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


def kept(store: Store, original: str, split: str) -> bool:
    """Whether the store holds references of an original as it stands, which the digest of its split says."""
    key = f"{references_key(original)}/{references.MANIFEST_FILE}"
    return store.exists(key) and json.loads(store.read(key)).get("split") == split


def fetch(store: Store, original: str, split: Split, signals: SignalConfig, target: Path) -> References:
    """The references of an original, or an empty set where none were made for it as it stands.

    Those of an original whose data was rewritten without erased records belong to the data before.

    Raises:
        UserError: what the store holds belongs to another model or is damaged.
    """
    if not kept(store, original, split.digest):
        none = ReferencesManifest(
            original=original, split=split.digest, count=0, seed=0, signals=signals, numbers=(), seconds=()
        )
        found = references.collect(none, [], np.zeros((0, len(split.members)), dtype=bool))
        with new_folder(target) as folder:
            references.save(found, folder)
        return found
    store.get_folder(references_key(original), target)
    return load_for(target, original, split.digest)


def load_for(path: Path, original: str, split: str) -> References:
    """The references of one original.

    Args:
        path: their folder.
        original, split: digests of the model and its split.

    Raises:
        UserError: missing, damaged, or another's: those say nothing about this one.
    """
    found = references.load(path)
    manifest = found.manifest
    if (manifest.original, manifest.split) != (original, split):
        raise UserError(
            f"the references were made for model {manifest.original[:12]} and split {manifest.split[:12]}, not for "
            f"{original[:12]} and {split[:12]}: give those of this original"
        )
    return found
