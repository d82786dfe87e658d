"""Resolve: which registered version is to forget, and what it was trained on."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from unlearning import ladder, models, provenance, settings, snapshots, splits
from unlearning.errors import UserError
from unlearning.files import new_folder
from unlearning.provenance import Provenance
from unlearning.registry import CHAMPION, Registry
from unlearning.steps.ingest import snapshot_key
from unlearning.steps.references import fetch, kept
from unlearning.steps.split import split_key
from unlearning.store import Store, open_store


@dataclass(frozen=True)
class ResolveResult:
    """What was resolved."""

    version: str
    digest: str
    references: int


def resolve(
    *,
    model_name: str,
    version: str,
    compare_with: str = "retrained",
    model_path: Path,
    snapshot_path: Path,
    split_path: Path,
    references_path: Path,
) -> ResolveResult:
    """Fetch a version from the registry, and its snapshot, split and references from the store.

    A version that forgot has no references: those of its original were trained on what it forgot.

    Args:
        model_name: registered model.
        version: number or alias; empty means the champion.
        compare_with: what candidates are to be compared with; `references` asks that the version has some.

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
        if digest != found.tags.get("digest"):
            raise UserError(f"model {model_name} version {found.version}: the stored weights are not those registered")
        made, store = provenance.load(folder), open_store(where.store)
        if ladder.compare_with_named(compare_with) == "references" and not kept(store, digest):
            raise UserError(_no_references(f"model {model_name} version {found.version}", made))
        snapshot, split = _fetch_data(made, store, Path(scratch))
        references = fetch(store, digest, splits.load(split), made.recipe.signals, references_path)
        for source, target in ((folder, model_path), (snapshot, snapshot_path)):
            with new_folder(target) as staging:
                shutil.copytree(source, staging, dirs_exist_ok=True)
        splits.save(splits.load(split), split_path)
    return ResolveResult(found.version, digest, references.manifest.count)


def _no_references(which: str, made: Provenance) -> str:
    """What to do where there is nothing to compare with."""
    if made.parent:
        return f"{which} has forgotten before, so it has no references to compare with: give compare_with retrained"
    return (
        f"{which} has no references to compare with: pretrain with reference_models, "
        "make them with unlearn step references, or give compare_with retrained"
    )


def _fetch_data(made: Provenance, store: Store, scratch: Path) -> tuple[Path, Path]:
    """The snapshot and the split a model was trained on, checked against its provenance."""
    snapshot, split = scratch / "snapshot", scratch / "split.json"
    store.get_folder(snapshot_key(made.snapshot), snapshot)
    split.write_bytes(store.read(split_key(made.split)))
    found = snapshots.load(snapshot)
    snapshots.verify(found)
    if found.manifest.digest != made.snapshot or splits.load(split).digest != made.split:
        raise UserError(f"snapshot {made.snapshot[:12]} or split {made.split[:12]} was changed in the store")
    return snapshot, split
