from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from unlearning.audit.qualification.files import (
    SETS_FILE,
    SetsManifest,
    gather,
    load_set,
    save_set,
    set_file,
)
from unlearning.audit.qualification.judge import ForgottenSet
from unlearning.core.errors import UserError
from unlearning.core.files import write_json


@pytest.fixture
def world(simulated: Callable[..., Any]) -> Any:
    return simulated(sets=4, size=2, left=0.0, seed=1)


def part(folder: Path, world: Any, numbers: tuple[int, ...], **changed: Any) -> Path:
    given: dict[str, Any] = {
        "original": "a" * 64, "split": "b" * 64, "method": "finetune", "settings": {}, "seed": 1, "sets": {2: 4},
        "numbers": {2: numbers},
    }  # fmt: skip
    for number in numbers:
        found = ForgottenSet(world.shown[number], {"knn": np.full(5, float(number))}, 0.5 + number)
        save_set(found, folder / set_file(2, number), {"split": "b" * 64})
    write_json(folder / SETS_FILE, SetsManifest(**given | changed).model_dump(mode="json"))
    return folder


def test_what_is_saved_is_read_and_says_whose_data_it_is(tmp_path: Path, world: Any) -> None:
    path = part(tmp_path / "one", world, (2,)) / set_file(2, 2)
    found = load_set(path)
    assert found.shown is not None
    assert np.array_equal(found.shown.confidences, world.shown[2].confidences)
    assert np.array_equal(found.shown.signals, world.shown[2].signals)
    for name, (of_forgotten, of_holdout) in world.shown[2].placed.items():
        assert np.array_equal(found.shown.placed[name][0], of_forgotten)
        assert np.array_equal(found.shown.placed[name][1], of_holdout)
    assert (found.seconds, found.diverged) == (2.5, "")
    with safe_open(str(path), framework="np") as handle:
        assert handle.metadata()["split"] == "b" * 64


def test_a_set_without_a_model_keeps_why(tmp_path: Path) -> None:
    save_set(ForgottenSet(None, {}, 1.0, "the loss became nan"), tmp_path / "set.safetensors", {})
    found = load_set(tmp_path / "set.safetensors")
    assert (found.shown, found.lost, found.diverged) == (None, {}, "the loss became nan")


def test_shares_are_put_together_in_the_order_of_the_sets(tmp_path: Path, world: Any) -> None:
    manifest, found = gather([part(tmp_path / "a", world, (0, 2)), part(tmp_path / "b", world, (3, 1))])
    assert manifest.sets == {2: 4}
    assert [each.seconds for each in found[2]] == [0.5, 1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("numbers", "changed", "problem"),
    [
        ((1,), {}, "3 of 4 sets of 2 records are there"),
        ((1, 2, 3), {}, "5 of 4 sets of 2 records are there"),
        ((1, 3), {"seed": 2}, "do not belong together"),
        ((1, 3), {"settings": {"epochs": 2}}, "do not belong together"),
    ],
)
def test_what_is_not_one_whole_is_refused(
    tmp_path: Path, world: Any, numbers: tuple[int, ...], changed: dict[str, Any], problem: str
) -> None:
    parts = [part(tmp_path / "a", world, (0, 2)), part(tmp_path / "b", world, numbers, **changed)]
    with pytest.raises(UserError, match=problem):
        gather(parts)


def test_damage_is_told(tmp_path: Path, world: Any) -> None:
    with pytest.raises(UserError, match="is damaged or none"):
        load_set(tmp_path / "nowhere")
    folder = part(tmp_path / "a", world, (0, 1, 2, 3))
    (folder / SETS_FILE).write_text("{}")
    with pytest.raises(UserError, match="are not valid"):
        gather([folder])
    with pytest.raises(UserError, match="do not belong together"):
        gather([])
