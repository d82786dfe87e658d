from __future__ import annotations

from pathlib import Path

import pytest

from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.data import forget_set, past_forget_sets, snapshots
from unlearning.data.past_forget_sets import PAST_FILE, PastForgetSets

Chain = dict[str, Path]


def test_records_come_back_with_the_snapshot_that_holds_them(chain: Chain, tmp_path: Path) -> None:
    past = PastForgetSets(split="s", ids=forget_set.load(chain["forget"]).ids, gone=2)
    past_forget_sets.save(past, chain["snapshot"], tmp_path / "before")
    found, snapshot = past_forget_sets.load(tmp_path / "before")
    assert found == past
    assert snapshot is not None
    assert snapshot.manifest == snapshots.load(chain["snapshot"]).manifest


@pytest.mark.parametrize("gone", [0, 3, None])
def test_where_nothing_is_kept_there_is_no_snapshot(tmp_path: Path, gone: int | None) -> None:
    past_forget_sets.save(PastForgetSets(split="s", ids=(), gone=gone), None, tmp_path / "before")
    found, snapshot = past_forget_sets.load(tmp_path / "before")
    assert (found.gone, snapshot) == (gone, None)
    assert [each.name for each in (tmp_path / "before").iterdir()] == [PAST_FILE]


def test_a_damaged_file_and_a_missing_snapshot_are_refused(tmp_path: Path) -> None:
    past_forget_sets.save(PastForgetSets(split="s", ids=("a",), gone=0), None, tmp_path / "before")
    with pytest.raises(UserError, match="snapshot manifest"):
        past_forget_sets.load(tmp_path / "before")
    path = tmp_path / "before" / PAST_FILE
    write_json(path, read_json(path, "") | {"gone": -1})
    with pytest.raises(UserError, match=r"forgotten before.*resolve the version again$") as caught:
        past_forget_sets.load(tmp_path / "before")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="forgotten before"):
        past_forget_sets.load(tmp_path / "nowhere")
