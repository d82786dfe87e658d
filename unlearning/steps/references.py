"""References: models trained on halves of the members, for every later audit of one original."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unlearning import models, provenance, settings
from unlearning.audit import references
from unlearning.audit.reference_models import ReferenceTraining, make_references
from unlearning.audit.references import References, ReferencesManifest
from unlearning.audit.signals import SignalConfig
from unlearning.devices import choose_device, deterministic
from unlearning.errors import UserError
from unlearning.files import new_folder
from unlearning.paradigms import make_paradigm
from unlearning.reference_plan import check_count
from unlearning.splits import Split
from unlearning.steps.data import load_split, part
from unlearning.store import Store, open_store


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
    """Train the references `numbers` of `count` and write weights and signals.

    Raises:
        UserError: not an original, or not trained on this split.
    """
    check_count(count)
    made = provenance.load(model_path)
    snapshot, split = load_split(snapshot_path, split_path)
    if made.parent:
        raise UserError(f"{model_path} was unlearned: references are made for an original, before it forgets")
    if made.split != split.digest:
        raise UserError(f"{model_path} was trained on split {made.split[:12]}, not {split.digest[:12]}: give its own")
    chosen = choose_device(device, gpus)
    deterministic()
    recipe, side = made.recipe, made.recipe.data.image_side
    paradigm = make_paradigm(recipe.paradigm)
    shape, classes = (snapshot.manifest.image_shape[0], side, side), snapshot.manifest.class_names
    given = ReferenceTraining(
        build=lambda: paradigm.build(recipe.encoder, shape, classes),
        paradigm=paradigm,
        members=part(snapshot, split.members, side, chosen),
        holdout=part(snapshot, split.holdout, side, chosen),
        training=recipe.training,
        signals=recipe.signals,
        count=count,
        seed=made.seed,
    )
    found = make_references(given, numbers)
    manifest = ReferencesManifest(
        original=models.digest(model_path),
        split=split.digest,
        count=count,
        seed=made.seed,
        signals=recipe.signals,
        numbers=tuple(numbers),
        seconds=tuple(each.seconds for each in found),
    )
    collected = references.collect(manifest, found, given.trained)
    with new_folder(references_path) as folder:
        references.save(collected, folder)
        for each in found:
            models.save(each.model, folder / references.model_folder(each.number))
    return collected


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


def fetch(store: Store, original: str, split: Split, signals: SignalConfig, target: Path) -> References:
    """The references of an original, or an empty set where none were made.

    Raises:
        UserError: what the store holds belongs to another model or is damaged.
    """
    key = f"{references_key(original)}/{references.MANIFEST_FILE}"
    if not store.exists(key):
        none = ReferencesManifest(
            original=original, split=split.digest, count=0, seed=0, signals=signals, numbers=(), seconds=()
        )
        found = references.collect(none, [], np.zeros((0, len(split.members)), dtype=bool))
        with new_folder(target) as folder:
            references.save(found, folder)
        return found
    store.get_folder(references_key(original), target)
    found = references.load(target)
    check_belong(found, original, split.digest)
    return found


def check_belong(found: References, digest: str, split: str) -> None:
    """References of another original say nothing about this one.

    Raises:
        UserError: they are another's.
    """
    manifest = found.manifest
    if (manifest.original, manifest.split) != (digest, split):
        raise UserError(
            f"the references were made for model {manifest.original[:12]} and split {manifest.split[:12]}, not for "
            f"{digest[:12]} and {split[:12]}: give those of this original"
        )
