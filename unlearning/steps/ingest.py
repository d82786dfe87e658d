"""Ingest: a data source becomes an immutable snapshot, in the store under its digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unlearning import recipes
from unlearning.compliance.retention.tombstones import REFUSE, check_policy, without_erased
from unlearning.core import settings
from unlearning.core.files import write_json
from unlearning.data import snapshots
from unlearning.data.snapshots import Snapshot
from unlearning.data.sources import open_source
from unlearning.recipes.recipe import Recipe
from unlearning.storage.datasets import keep_snapshot
from unlearning.storage.open import open_store


@dataclass(frozen=True)
class IngestResult:
    """What was ingested."""

    digest: str
    records: int
    duplicates: int
    erased: int
    """Records left out because they were erased."""


def read_source(recipe: Recipe, seed: int, erased: str) -> tuple[Snapshot, int]:
    """What the recipe's source holds and may be trained on, and how many erased records were left out.

    Args:
        recipe: names the source.
        seed: draws the sample when the recipe limits the records; erased ones are left out after that.
        erased: what becomes of records that were erased: `refuse` or `drop`.

    Raises:
        UserError: the data cannot be had, or it holds erased records that are to be refused.
    """
    check_policy(erased)
    data, folder = recipe.data, settings.from_environment().data
    found = open_source(data.source, folder, limit=data.limit, seed=seed, subjects=data.subjects)
    kept = without_erased(found, erased)
    return kept, len(found.records) - len(kept.records)


def ingest(
    *, recipe: str, overrides: str, seed: int, erased: str = REFUSE, snapshot_path: Path, recipe_path: Path
) -> IngestResult:
    """Read the recipe's data source and keep it as a snapshot.

    Args:
        recipe: name of a shipped recipe, or a YAML file.
        overrides: YAML laid over the recipe; empty for none.
        seed: draws the sample when the recipe limits the records.
        erased: what becomes of records that were erased and that the source still holds: `refuse` all of it, so that
            somebody looks, or `drop` them.
        snapshot_path: folder to write.
        recipe_path: the resolved recipe, as JSON, for the steps that follow.

    Raises:
        UserError: a bad recipe, data that cannot be had, or erased records that are to be refused.
    """
    resolved = recipes.load(recipe, overrides)
    snapshot, dropped = read_source(resolved, seed, erased)
    snapshots.save(snapshot, snapshot_path)
    manifest = snapshot.manifest
    keep_snapshot(open_store(settings.from_environment().store), snapshot_path, manifest.digest)
    write_json(recipe_path, resolved.model_dump(mode="json"))
    return IngestResult(manifest.digest, len(snapshot.records), manifest.duplicates, dropped)
