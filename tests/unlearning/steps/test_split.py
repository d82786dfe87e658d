from __future__ import annotations

from pathlib import Path

import pytest

from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.data import snapshots, splits
from unlearning.data.splits import Split
from unlearning.steps.split import split
from unlearning.storage.keys import split_key
from unlearning.storage.open import open_store

Chain = dict[str, Path]


def test_the_split_has_the_sizes_of_the_recipe(chain: Chain) -> None:
    made = splits.load(chain["split"])
    assert made.snapshot == snapshots.load(chain["snapshot"]).manifest.digest
    assert [len(getattr(made, part)) for part in splits.PARTS] == [300, 80, 300, 120]


def test_the_split_is_kept_in_the_store_under_its_digest(chain: Chain) -> None:
    made = splits.load(chain["split"])
    stored = open_store(settings.from_environment().store).read(split_key(made.digest))
    assert Split.model_validate_json(stored) == made


def test_the_same_seed_gives_the_same_file_and_another_seed_another_split(chain: Chain, tmp_path: Path) -> None:
    inputs = {"snapshot_path": chain["snapshot"], "recipe_path": chain["resolved"]}
    again = split(**inputs, seed=0, split_path=tmp_path / "again")
    other = split(**inputs, seed=1, split_path=tmp_path / "other")
    assert (tmp_path / "again").read_bytes() == chain["split"].read_bytes()
    assert again.sizes == other.sizes
    assert again.digest != other.digest


def test_more_records_than_there_are_writes_nothing(chain: Chain, tmp_path: Path) -> None:
    recipe = read_json(chain["resolved"], "recipe")
    recipe["split"]["members"] = 5000
    write_json(tmp_path / "recipe", recipe)
    with pytest.raises(UserError, match=r"needs 5500 distinct records .* has 1797"):
        split(snapshot_path=chain["snapshot"], recipe_path=tmp_path / "recipe", seed=0, split_path=tmp_path / "split")
    assert not (tmp_path / "split").exists()
