from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unlearning import forgetting, splits
from unlearning.errors import UserError
from unlearning.steps.select import SelectResult, parse_ids, select

Chain = dict[str, Path]


def select_into(chain: Chain, path: Path, **changed: Any) -> SelectResult:
    settings: dict[str, Any] = {"kind": "random", "fraction": 0.4, "class_name": "", "ids": "", "seed": 0} | changed
    return select(snapshot_path=chain["snapshot"], split_path=chain["split"], forget_path=path, **settings)


def test_the_share_asked_for_is_chosen_from_the_members(chain: Chain) -> None:
    split, forget = splits.load(chain["split"]), forgetting.load(chain["forget"])
    assert len(forget.ids) == 120
    assert set(forget.ids) < set(split.members)
    assert forget.split == split.digest


def test_the_seed_decides_who_is_chosen(chain: Chain, tmp_path: Path) -> None:
    select_into(chain, tmp_path / "again")
    select_into(chain, tmp_path / "other", seed=1)
    assert (tmp_path / "again").read_bytes() == chain["forget"].read_bytes()
    assert forgetting.load(tmp_path / "other").digest != forgetting.load(chain["forget"]).digest


@pytest.mark.parametrize("separator", [",", "\n", ", ", "json"])
def test_records_are_named_in_any_common_way(chain: Chain, tmp_path: Path, separator: str) -> None:
    wanted = splits.load(chain["split"]).members[:3]
    ids = json.dumps(wanted) if separator == "json" else separator.join(wanted)
    assert select_into(chain, tmp_path / "forget", kind="records", ids=ids).records == 3
    assert forgetting.load(tmp_path / "forget").ids == wanted


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
    stranger = splits.load(chain["split"]).holdout[0]
    with pytest.raises(UserError, match=f"the first is '{stranger}': only members can be forgotten"):
        select_into(chain, tmp_path / "forget", kind="records", ids=stranger)


@pytest.mark.parametrize(("text", "problem"), [("[1, 2]", "must be strings"), ("['a']", "not valid JSON")])
def test_ids_that_are_no_list_of_strings_are_refused(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        parse_ids(text)
