"""Resolve: which registered version is to forget, and what it was trained on."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from unlearning.audit.references.plan import check_unlearned, refuse_without_references
from unlearning.audit.references.signals import load_for, save_none
from unlearning.audit.results import Reference
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import new_folder
from unlearning.data import snapshots, splits
from unlearning.data.splits import Split
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.recipes.provenance import Provenance
from unlearning.registry.client import CHAMPION, Registry
from unlearning.registry.forgotten_before import save_forgotten_before
from unlearning.registry.versions import data_of
from unlearning.storage.datasets import fetch as fetch_data
from unlearning.storage.open import open_store
from unlearning.storage.references import fetch, kept
from unlearning.storage.store import Store


@dataclass(frozen=True)
class ResolveResult:
    """What was resolved."""

    version: str
    digest: str
    references: int
    compared_with: Reference
    """What candidates are to be compared with."""
    unlearned: int
    """How many references are to be made to forget too."""


def resolve(
    *,
    model_name: str,
    version: str,
    compare_with: Reference = "retrained",
    or_retrained: bool = False,
    unlearned: int = 0,
    model_path: Path,
    snapshot_path: Path,
    split_path: Path,
    references_path: Path,
    forgotten_before_path: Path | None = None,
) -> ResolveResult:
    """Fetch a version from the registry, and the data it stands for and its references from the store.

    A version that forgot has no references: those of its original were trained on what it forgot.

    Args:
        model_name: registered model.
        version: number or alias; empty means the champion.
        compare_with: what candidates are to be compared with; `references` asks that the version has some.
        or_retrained: compare with a retrained model where it has none, and unlearn none, instead of refusing it.
        unlearned: how many references are to be made to forget too: asks that it has as many.
        forgotten_before_path: where it is written what the version, and all it descends from, has forgotten already,
            with the images that are kept, for the audit to look at again; None for nowhere.

    Raises:
        UserError: unknown, purged, without the references that are asked for, or weights, snapshot or split are not
            those that were registered; nothing is written then.
    """
    where = settings.from_environment()
    registry = Registry(where.tracking_uri)
    found = registry.resolve(model_name, version or CHAMPION)
    with tempfile.TemporaryDirectory() as scratch:
        folder = registry.download(found, Path(scratch))
        digest = models.digest(folder)
        if digest != found.tags.digest:
            raise UserError(f"model {model_name} version {found.version}: the stored weights are not those registered")
        made, data, store = provenance.load(folder), data_of(found), open_store(where.store)
        there = kept(store, digest, data.split)
        if compare_with == "references" and not there:
            if not or_retrained:
                refuse_without_references(f"model {model_name} version {found.version}", unlearned=bool(made.parent))
            compare_with, unlearned = "retrained", 0
        check_unlearned(unlearned, there)
        snapshot, split = fetch_data(store, data, Path(scratch))
        count = _references(store, digest, splits.load(split), made, references_path)
        with new_folder(model_path) as staging:
            shutil.copytree(folder, staging, dirs_exist_ok=True)
            # What it has forgotten is no part of what it may be trained on, audited or evaluated with again.
            provenance.save(made.model_copy(update=data.model_dump()), staging)
        snapshots.copy(snapshot, snapshot_path)
        splits.save(splits.load(split), split_path)
        if forgotten_before_path is not None:
            save_forgotten_before(store, found, registry.versions(model_name), forgotten_before_path)
    return ResolveResult(found.version, digest, count, compare_with, unlearned)


def _references(store: Store, original: str, split: Split, made: Provenance, target: Path) -> int:
    """Fetch the references of an original, or write an empty set where none were made for it as it stands.

    Those of an original whose data was rewritten without erased records belong to the data before.
    """
    if kept(store, original, split.digest):
        fetch(store, original, target)
        return load_for(target, original, split.digest).manifest.count
    save_none(original, split, made.recipe.signals, target)
    return 0
