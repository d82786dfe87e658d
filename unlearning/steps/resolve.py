"""Resolve: which registered version is to forget, and what it was trained on."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from unlearning import models, provenance, settings, snapshots, splits
from unlearning.errors import UserError
from unlearning.files import new_folder, write_text
from unlearning.registry import CHAMPION, Registry
from unlearning.steps.ingest import snapshot_key
from unlearning.steps.split import split_key
from unlearning.store import open_store


@dataclass(frozen=True)
class ResolveResult:
    """What was resolved."""

    version: str
    digest: str


def resolve(*, model_name: str, version: str, model_path: Path, snapshot_path: Path, split_path: Path) -> ResolveResult:
    """Fetch a version from the registry, and its snapshot and split from the store.

    Args:
        model_name: registered model.
        version: number or alias; empty means the champion.

    Raises:
        UserError: unknown, purged, or not the weights that were registered.
    """
    where = settings.from_environment()
    registry = Registry(where.tracking_uri)
    found = registry.resolve(model_name, version or CHAMPION)
    with tempfile.TemporaryDirectory() as scratch:
        folder = registry.download(found, Path(scratch))
        with new_folder(model_path) as target:
            shutil.copytree(folder, target, dirs_exist_ok=True)
    digest = models.digest(model_path)
    if digest != found.tags["digest"]:
        raise UserError(f"model {model_name} version {found.version}: the stored weights are not those registered")
    made = provenance.load(model_path)
    store = open_store(where.store)
    store.get_folder(snapshot_key(made.snapshot), snapshot_path)
    write_text(split_path, store.read(split_key(made.split)).decode())
    if snapshots.load(snapshot_path).manifest.digest != made.snapshot or splits.load(split_path).digest != made.split:
        raise UserError(f"model {model_name} version {found.version}: its snapshot or split in the store was changed")
    return ResolveResult(found.version, digest)
