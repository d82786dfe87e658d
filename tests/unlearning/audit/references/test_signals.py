from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unlearning.audit.references import signals
from unlearning.audit.references.signals import References, merge
from unlearning.audit.results import REFERENCES_FILE
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.data.splits import Split


@pytest.fixture
def whole(synthetic: Callable[..., Any]) -> References:
    found: References = synthetic(members=20, holdout=12, count=8, seed=2).references
    return found


def part(whole: References, numbers: list[int]) -> References:
    manifest = whole.manifest.model_copy(
        update={"numbers": tuple(numbers), "seconds": tuple(float(number) for number in numbers)}
    )
    return replace(whole.only(np.asarray(numbers)), manifest=manifest)


def assert_same(first: References, second: References) -> None:
    assert np.array_equal(first.trained, second.trained)
    assert np.array_equal(first.member_losses, second.member_losses)
    assert np.array_equal(first.holdout_losses, second.holdout_losses)
    for name, value in first.members.items():
        assert np.array_equal(value, second.members[name])
        assert np.array_equal(first.holdout[name], second.holdout[name])


def test_parts_in_any_order_make_the_whole(whole: References) -> None:
    merged = merge([part(whole, [1, 5, 7]), part(whole, [6, 0]), part(whole, [2, 4, 3])])
    assert_same(merged, whole)
    assert merged.manifest.numbers == tuple(range(8))
    assert merged.manifest.seconds == tuple(float(number) for number in range(8))


@pytest.mark.parametrize("numbers", [[[0, 1, 2]], [[0, 1, 2, 3], [3, 4, 5, 6, 7]]])
def test_a_missing_or_repeated_part_is_refused(whole: References, numbers: list[list[int]]) -> None:
    with pytest.raises(UserError, match="give every part once"):
        merge([part(whole, some) for some in numbers])


@pytest.mark.parametrize("changed", [{"original": "c" * 64}, {"split": "c" * 64}, {"seed": 9}, {"count": 10}])
def test_parts_of_other_sets_are_refused(whole: References, changed: dict[str, Any]) -> None:
    first, second = part(whole, [0, 1, 2, 3]), part(whole, [4, 5, 6, 7])
    other = replace(second, manifest=second.manifest.model_copy(update=changed))
    with pytest.raises(UserError, match="do not belong together"):
        merge([first, other])


def test_what_is_saved_comes_back(whole: References, tmp_path: Path) -> None:
    signals.save(whole, tmp_path)
    loaded = signals.load(tmp_path)
    assert loaded.manifest == whole.manifest
    assert_same(loaded, whole)


def test_what_the_original_shows_is_kept_with_them_and_found_in_whichever_part_has_it(
    synthetic: Callable[..., Any], whole: References, tmp_path: Path
) -> None:
    shown = synthetic(members=20, holdout=12, count=8, seed=3).measured(np.ones(32, dtype=bool))
    having = replace(part(whole, [0, 3, 4, 5]), original=shown)
    for parts in ([having, part(whole, [1, 2, 6, 7])], [part(whole, [1, 2, 6, 7]), having]):
        merged = merge(parts)
        signals.save(merged, tmp_path)
        kept = signals.load(tmp_path).original
        assert kept is not None
        assert np.array_equal(kept.losses, shown.losses)
        for one, other in ((kept.signals, shown.signals), (kept.encoder, shown.encoder)):
            assert one.keys() == other.keys()
            assert all(np.array_equal(one[name], other[name]) for name in one)
    assert merge([part(whole, [0, 1, 2, 3]), part(whole, [4, 5, 6, 7])]).original is None


def test_what_was_measured_in_another_way_is_refused(whole: References, tmp_path: Path) -> None:
    signals.save(whole, tmp_path)
    document = read_json(tmp_path / REFERENCES_FILE, "references")
    del document["measured"]  # as before there were two ways
    write_json(tmp_path / REFERENCES_FILE, document)
    with pytest.raises(UserError, match=r"measured by another version.*train them again"):
        signals.load(tmp_path)
    write_json(tmp_path / REFERENCES_FILE, document | {"count": 0})
    assert signals.load(tmp_path).manifest.count == 0


def test_a_list_is_no_set_of_references(whole: References, tmp_path: Path) -> None:
    signals.save(whole, tmp_path)
    write_json(tmp_path / REFERENCES_FILE, [])
    with pytest.raises(UserError, match="are damaged or none"):
        signals.load(tmp_path)


@pytest.mark.parametrize("name", [REFERENCES_FILE, signals.SIGNALS_FILE])
def test_a_damaged_set_is_refused_in_one_line(whole: References, tmp_path: Path, name: str) -> None:
    signals.save(whole, tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:50])
    with pytest.raises(UserError) as caught:
        signals.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_parts_are_gathered_into_one_folder_with_their_weights(whole: References, tmp_path: Path) -> None:
    parts = {"first": [0, 2, 4, 6], "second": [1, 3, 5, 7]}
    for name, numbers in parts.items():
        signals.save(part(whole, numbers), tmp_path / name)
        for number in numbers:
            folder = tmp_path / name / signals.model_folder(number)
            folder.mkdir(parents=True)
            (folder / "weights").write_text(str(number))
    merged = signals.gather([tmp_path / name for name in parts], tmp_path / "whole")
    assert_same(merged, whole)
    assert_same(signals.load(tmp_path / "whole"), whole)
    for number in range(8):
        assert (tmp_path / "whole" / signals.model_folder(number) / "weights").read_text() == str(number)


def test_parts_of_no_set_leave_nothing(whole: References, tmp_path: Path) -> None:
    signals.save(part(whole, [0, 1]), tmp_path / "part")
    with pytest.raises(UserError, match="give every part once"):
        signals.gather([tmp_path / "part"], tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def test_an_original_without_references_has_an_empty_set(whole: References) -> None:
    split = Split(snapshot="0" * 64, seed=0, members=("a", "b", "c"), holdout=("d",), calibration=("e",), test=("f",))
    found = signals.no_references("1" * 64, split, whole.manifest.signals)
    assert (found.manifest.count, found.manifest.original, found.manifest.split) == (0, "1" * 64, split.digest)
    assert found.trained.shape == (0, 3)
