"""Ingest: a data source becomes an immutable snapshot, in the store under its digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unlearning import recipes, settings, snapshots
from unlearning.files import write_json
from unlearning.sources import open_source
from unlearning.store import open_store


@dataclass(frozen=True)
class IngestResult:
    """What was ingested."""

    digest: str
    records: int
    duplicates: int


def snapshot_key(digest: str) -> str:
    """Where a snapshot lies in the store."""
    return f"snapshots/{digest}"


def complete_key(digest: str) -> str:
    """The marker beside a snapshot that says that all of its files are in the store."""
    return f"{snapshot_key(digest)}.complete"


def ingest(*, recipe: str, overrides: str, seed: int, snapshot_path: Path, recipe_path: Path) -> IngestResult:
    """Read the recipe's data source and keep it as a snapshot.

    Args:
        recipe: name of a shipped recipe, or a YAML file.
        overrides: YAML laid over the recipe; empty for none.
        seed: draws the sample when the recipe limits the records.
        snapshot_path: folder to write.
        recipe_path: the resolved recipe, as JSON, for the steps that follow.
    """
    resolved = recipes.load(recipe, overrides)
    where = settings.from_environment()
    snapshot = open_source(resolved.data.source, where.data, limit=resolved.data.limit, seed=seed)
    snapshots.save(snapshot, snapshot_path)
    manifest = snapshot.manifest
    store = open_store(where.store)
    # The folder is stored file by file; the marker says that all of them arrived.
    complete = complete_key(manifest.digest)
    if not store.exists(complete):
        store.put_folder(snapshot_key(manifest.digest), snapshot_path)
        store.create(complete, manifest.digest.encode())
    write_json(recipe_path, resolved.model_dump(mode="json"))
    return IngestResult(manifest.digest, len(snapshot.records), manifest.duplicates)
