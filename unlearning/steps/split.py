"""Split: who is trained on, who calibrates, who audits and who tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unlearning.compliance.retention.tombstones import refuse_erased_in
from unlearning.core import settings
from unlearning.core.files import read_json
from unlearning.data import snapshots, splits
from unlearning.recipes.recipe import validate_recipe
from unlearning.storage.datasets import keep_split
from unlearning.storage.open import open_store


@dataclass(frozen=True)
class SplitResult:
    """What was split."""

    digest: str
    sizes: dict[str, int]


def split(*, snapshot_path: Path, recipe_path: Path, seed: int, split_path: Path) -> SplitResult:
    """Divide a snapshot as the recipe says, and keep the split in the store.

    Raises:
        UserError: too few records, or some of them were erased meanwhile.
    """
    recipe = validate_recipe(read_json(recipe_path, "recipe"), str(recipe_path))
    snapshot = snapshots.load(snapshot_path)
    refuse_erased_in(snapshot)
    made = splits.make_split(snapshot.manifest, recipe.split, seed)
    splits.save(made, split_path)
    keep_split(open_store(settings.from_environment().store), made)
    return SplitResult(made.digest, {part: len(getattr(made, part)) for part in splits.PARTS})
