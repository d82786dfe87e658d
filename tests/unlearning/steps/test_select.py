from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from unlearning.core.errors import UserError
from unlearning.data import forget_set, splits
from unlearning.data.forget_selection import NearDuplicateCounts
from unlearning.learning import near_duplicates
from unlearning.learning.near_duplicates import NearDuplicates
from unlearning.recipes import provenance
from unlearning.steps.select import SelectResult, select

Chain = dict[str, Path]


def select_into(chain: Chain, path: Path, **changed: Any) -> SelectResult:
    settings: dict[str, Any] = {"kind": "random", "fraction": 0.4, "class_name": "", "ids": "", "seed": 0} | changed
    return select(snapshot_path=chain["snapshot"], split_path=chain["split"], forget_path=path, **settings)


def test_the_share_asked_for_is_chosen_from_the_members(chain: Chain) -> None:
    split, forget = splits.load(chain["split"]), forget_set.load(chain["forget"])
    assert len(forget.ids) == 120
    assert set(forget.ids) < set(split.members)
    assert forget.split == split.digest


def test_the_seed_decides_who_is_chosen(chain: Chain, tmp_path: Path) -> None:
    select_into(chain, tmp_path / "again")
    select_into(chain, tmp_path / "other", seed=1)
    assert (tmp_path / "again").read_bytes() == chain["forget"].read_bytes()
    assert forget_set.load(tmp_path / "other").digest != forget_set.load(chain["forget"]).digest


@pytest.mark.parametrize("separator", [",", "\n", ", ", "json"])
def test_records_are_named_in_any_common_way(chain: Chain, tmp_path: Path, separator: str) -> None:
    wanted = splits.load(chain["split"]).members[:3]
    ids = json.dumps(wanted) if separator == "json" else separator.join(wanted)
    assert select_into(chain, tmp_path / "forget", kind="records", ids=ids).records == 3
    assert forget_set.load(tmp_path / "forget").ids == wanted


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"kind": "records"}, "the forget set is empty"),
        ({"kind": "records", "ids": "0123"}, "1 of 1 records to forget are not members"),
        ({"kind": "somebody"}, "forget kind 'somebody' is unknown"),
        ({"kind": "class", "class_name": "ten"}, "class 'ten' is unknown"),
        ({"fraction": 1.0}, "outside 0 to 1"),
        ({"fraction": 0.9999}, "every member would be forgotten"),
    ],
)
def test_what_cannot_be_forgotten_is_refused_and_writes_nothing(
    chain: Chain, tmp_path: Path, settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        select_into(chain, tmp_path / "forget", **settings)
    assert list(tmp_path.iterdir()) == []


def test_holdout_records_cannot_be_forgotten(chain: Chain, tmp_path: Path) -> None:
    non_member = splits.load(chain["split"]).holdout[0]
    with pytest.raises(UserError, match=f"the first is '{non_member}': only members can be forgotten"):
        select_into(chain, tmp_path / "forget", kind="records", ids=non_member)


def with_model(chain: Chain, folder: Path, **changed: Any) -> tuple[SelectResult, NearDuplicates]:
    paths = {"model_path": chain["model"], "near_duplicates_path": folder / "near"}
    result = select_into(chain, folder / "forget", device="cpu", **paths, **changed)
    return result, near_duplicates.load(folder / "near")


def test_looking_for_near_duplicates_changes_nobody(chain: Chain, tmp_path: Path) -> None:
    result, found = with_model(chain, tmp_path)
    before, forget = forget_set.load(chain["forget"]), forget_set.load(tmp_path / "forget")
    assert (forget.ids, forget.digest) == (before.ids, before.digest)
    assert result.digest == found.forget == before.digest
    counts = NearDuplicateCounts(repeated=len(found.repeated), alike=len(found.alike), included=False)
    assert forget.near_duplicates == result.near_duplicates == counts
    kept = splits.load(chain["split"]).retained(before.ids)
    assert {pair.kept for pair in (*found.repeated, *found.alike)} <= set(kept)
    assert {pair.forgotten for pair in (*found.repeated, *found.alike)} <= set(before.ids)
    assert counts.repeated > 0, "some of the tiny recipe's digits nearly repeat one another"


def test_near_duplicates_are_forgotten_where_that_is_asked_for(chain: Chain, tmp_path: Path) -> None:
    result, found = with_model(chain, tmp_path, include_near_duplicates=True)
    before, forget = forget_set.load(chain["forget"]), forget_set.load(tmp_path / "forget")
    assert forget.ids == before.ids + tuple(pair.kept for pair in found.repeated)
    assert (result.records, result.digest) == (len(forget.ids), forget.digest)
    assert result.digest != found.forget == before.digest
    assert result.near_duplicates == NearDuplicateCounts(
        repeated=len(found.repeated), alike=len(found.alike), included=True
    )


def test_the_recipe_says_what_counts_as_nearly_the_same(chain: Chain, tmp_path: Path) -> None:
    made = provenance.load(chain["model"])
    strict = made.recipe.near_duplicates.model_copy(update={"correlation": 1.0})
    shutil.copytree(chain["model"], tmp_path / "model")
    changed = {"recipe": made.recipe.model_copy(update={"near_duplicates": strict})}
    provenance.save(made.model_copy(update=changed), tmp_path / "model")
    result = select_into(chain, tmp_path / "forget", model_path=tmp_path / "model", device="cpu")
    assert result.near_duplicates is not None
    assert result.near_duplicates.repeated == 0


def test_near_duplicates_are_not_looked_for_without_a_model(chain: Chain, tmp_path: Path) -> None:
    assert forget_set.load(chain["forget"]).near_duplicates is None
    for asked in ({"include_near_duplicates": True}, {"near_duplicates_path": tmp_path / "near"}):
        with pytest.raises(UserError, match="looked for with the model that is to forget: give the model"):
            select_into(chain, tmp_path / "forget", **asked)
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_another_split_is_refused(chain: Chain, tmp_path: Path) -> None:
    split = splits.load(chain["split"])
    splits.save(split.model_copy(update={"seed": 9}), tmp_path / "split")
    given: dict[str, Any] = {"kind": "random", "fraction": 0.4, "class_name": "", "ids": "", "seed": 0}
    with pytest.raises(UserError, match="was trained on split"):
        select(
            snapshot_path=chain["snapshot"],
            split_path=tmp_path / "split",
            **given,
            model_path=chain["model"],
            forget_path=tmp_path / "forget",
        )
    assert not (tmp_path / "forget").exists()
