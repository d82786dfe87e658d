from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unlearning import models, splits
from unlearning.audit import references
from unlearning.errors import UserError
from unlearning.files import read_json, write_json
from unlearning.reference_plan import MOST
from unlearning.registry import Version
from unlearning.settings import from_environment
from unlearning.steps.references import fetch, gather, make, references_key
from unlearning.steps.register import register
from unlearning.store import open_store

Chain = dict[str, Path]


def make_into(chain: Chain, path: Path, **changed: Any) -> references.References:
    given: dict[str, Any] = {
        "model_path": chain["model"], "snapshot_path": chain["snapshot"], "split_path": chain["split"],
        "count": 8, "numbers": [3], "device": "cpu",
    }  # fmt: skip
    return make(**given | changed, references_path=path)


def test_the_set_is_complete_and_belongs_to_its_original(chain: Chain) -> None:
    found = references.load(chain["references"])
    assert found.manifest.original == models.digest(chain["model"])
    assert found.manifest.numbers == tuple(range(8))
    assert found.trained.shape == (8, 300)
    assert found.holdout_losses.shape == (8, 300, 2)
    for number in range(8):
        models.load(chain["references"] / references.model_folder(number))


def test_a_part_made_again_is_the_same(chain: Chain, tmp_path: Path) -> None:
    whole, alone = references.load(chain["references"]), make_into(chain, tmp_path / "part")
    assert np.array_equal(alone.member_losses[0], whole.member_losses[3])
    folder = references.model_folder(3)
    assert models.digest(tmp_path / "part" / folder) == models.digest(chain["references"] / folder)


def test_members_are_known_better_by_the_references_trained_on_them(chain: Chain) -> None:
    found = references.load(chain["references"])
    losses = found.member_losses.mean(axis=2)
    assert losses[found.trained].mean() < losses[~found.trained].mean()


def test_an_unlearned_model_gets_none(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="before it forgets"):
        make_into(chain, tmp_path / "part", model_path=chain["candidate"])
    assert not (tmp_path / "part").exists()


def test_another_split_is_refused(chain: Chain, tmp_path: Path) -> None:
    split = splits.load(chain["split"])
    splits.save(split.model_copy(update={"seed": 9}), tmp_path / "split")
    with pytest.raises(UserError, match="was trained on split"):
        make_into(chain, tmp_path / "part", split_path=tmp_path / "split")


@pytest.mark.parametrize("count", [-2, 1, 2, 6, 9, MOST + 2])
def test_a_count_that_no_audit_can_use_is_refused(chain: Chain, tmp_path: Path, count: int) -> None:
    with pytest.raises(UserError, match=f"references {count}: give 0 for none"):
        make_into(chain, tmp_path / "part", count=count)


def test_an_original_without_references_has_an_empty_set(chain: Chain, tmp_path: Path) -> None:
    store, split = open_store(from_environment().store), splits.load(chain["split"])
    signals = references.load(chain["references"]).manifest.signals
    found = fetch(store, "0" * 64, split, signals, tmp_path / "none")
    assert found.manifest.count == 0
    assert references.load(tmp_path / "none").trained.shape == (0, 300)


def test_none_asked_for_is_an_empty_set_that_is_not_stored(chain: Chain, tmp_path: Path) -> None:
    make_into(chain, tmp_path / "part", count=0, numbers=[])
    merged = gather(parts=[tmp_path / "part"], references_path=tmp_path / "whole")
    assert merged.manifest.count == 0
    stored = open_store(from_environment().store).read(f"{references_key(merged.manifest.original)}/references.json")
    assert b'"count": 8' in stored  # those of the chain are still there


def test_references_of_another_model_are_refused(chain: Chain, tmp_path: Path, parent: Version) -> None:
    assert parent.tags["references"] == "0"
    path = tmp_path / "references"
    path.mkdir()
    references.save(references.load(chain["references"]), path)
    manifest = read_json(path / references.MANIFEST_FILE, "")
    write_json(path / references.MANIFEST_FILE, manifest | {"original": "0" * 64})
    given: dict[str, Any] = {"model_path": chain["model"], "split_path": chain["split"]}
    given |= {"evaluation_path": chain["before"], "model_name": "other", "run_name": "second"}
    with pytest.raises(UserError, match="give those of this original"):
        register(**given, references_path=path)
    assert register(**given, references_path=chain["references"]).tags["references"] == "8"
