from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tests.unlearning.steps.interruption import files_below, stop_after
from unlearning.audit.references import signals as references
from unlearning.audit.references.plan import MOST
from unlearning.audit.results import REFERENCES_FILE
from unlearning.audit.signals import measure
from unlearning.core.errors import TrainingDivergedError, UserError
from unlearning.core.files import read_json, write_json
from unlearning.core.settings import from_environment
from unlearning.data import splits
from unlearning.data.loading import load_split, part
from unlearning.data.records import concatenate
from unlearning.learning import models
from unlearning.learning.checkpoint import Checkpoint
from unlearning.learning.paradigms import make_paradigm
from unlearning.recipes import provenance
from unlearning.registry.client import Version
from unlearning.steps.references import gather, make
from unlearning.steps.register import register
from unlearning.storage.keys import references_key
from unlearning.storage.open import open_store

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


def test_the_first_part_knows_what_the_original_shows(chain: Chain, tmp_path: Path) -> None:
    """Of a part alone it is the same as of the whole set, and other parts have none."""
    kept = references.load(chain["references"]).original
    assert kept is not None
    run = load_split(chain["snapshot"], chain["split"])
    made = provenance.load(chain["model"])
    device = torch.device("cpu")
    audited = [part(run[0], ids, made.recipe.data.image_side, device) for ids in (run[1].members, run[1].holdout)]
    paradigm = make_paradigm(made.recipe.paradigm)
    original = models.load(chain["model"])
    shown = measure(original, paradigm, concatenate(*audited), made.recipe.signals, seed=made.seed)
    assert np.array_equal(kept.losses, shown.losses)
    assert make_into(chain, tmp_path / "part").original is None


def test_a_part_made_again_is_the_same(chain: Chain, tmp_path: Path) -> None:
    whole, alone = references.load(chain["references"]), make_into(chain, tmp_path / "part")
    assert np.array_equal(alone.member_losses[0], whole.member_losses[3])
    folder = references.model_folder(3)
    assert models.digest(tmp_path / "part" / folder) == models.digest(chain["references"] / folder)


def made_anew(chain: Chain, path: Path, numbers: list[int]) -> bool:
    """Make a part, and whether it is the one that was made without an interruption."""
    whole, part = references.load(chain["references"]), make_into(chain, path, numbers=numbers)
    folders = [references.model_folder(number) for number in numbers]
    same = [models.digest(path / folder) == models.digest(chain["references"] / folder) for folder in folders]
    return all(same) and np.array_equal(part.member_losses, whole.member_losses[numbers])


def test_an_interrupted_part_goes_on_in_the_middle_of_a_reference(
    chain: Chain, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the fourth of six epochs of its first reference; a checkpoint is from the second."""
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(ConnectionAbortedError):
            make_into(chain, tmp_path / "part", numbers=[3])
    assert [path.name for path in files_below(checkpoints)] == ["003.safetensors"]
    asked = stop_after(monkeypatch, -1)
    assert made_anew(chain, tmp_path / "part", [3])
    assert asked == [4]
    assert files_below(checkpoints) == []


def test_an_interrupted_part_trains_no_finished_reference_again(
    chain: Chain, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*arguments: object, **settings: object) -> None:
        raise ConnectionAbortedError("the machine went away")

    with monkeypatch.context() as patch:
        patch.setattr("unlearning.audit.references.training.measure_each", gone)
        with pytest.raises(ConnectionAbortedError):
            make_into(chain, tmp_path / "part", numbers=[3, 6])
    assert not (tmp_path / "part").exists()
    asked = stop_after(monkeypatch, -1)
    assert made_anew(chain, tmp_path / "part", [3, 6])
    assert asked == [0, 0]
    assert files_below(checkpoints) == []


def test_what_an_interruption_leaves_says_what_it_was_trained_on(
    chain: Chain, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a purge of that data finds it."""
    stop_after(monkeypatch, 3)
    with pytest.raises(ConnectionAbortedError):
        make_into(chain, tmp_path / "part")
    split = splits.load(chain["split"])
    with safe_open(str(files_below(checkpoints)[0]), framework="np") as handle:
        assert {"snapshot": split.snapshot, "split": split.digest}.items() <= handle.metadata().items()


def test_a_diverged_reference_leaves_nothing(
    chain: Chain, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*arguments: object, checkpoint: Checkpoint, **settings: object) -> None:
        checkpoint.path.parent.mkdir(parents=True)
        checkpoint.path.write_bytes(b"half way")
        raise TrainingDivergedError("the loss became nan")

    monkeypatch.setattr("unlearning.audit.references.training.train", diverge)
    with pytest.raises(TrainingDivergedError):
        make_into(chain, tmp_path / "part")
    assert files_below(tmp_path) == []


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


def test_none_asked_for_is_an_empty_set_that_is_not_stored(chain: Chain, tmp_path: Path) -> None:
    make_into(chain, tmp_path / "part", count=0, numbers=[])
    merged = gather(parts=[tmp_path / "part"], references_path=tmp_path / "whole")
    assert merged.manifest.count == 0
    stored = open_store(from_environment().store).read(f"{references_key(merged.manifest.original)}/references.json")
    assert b'"count": 8' in stored  # those of the chain are still there


def test_references_of_another_model_are_refused(chain: Chain, tmp_path: Path, parent: Version) -> None:
    assert parent.tags.references == "0"
    path = tmp_path / "references"
    path.mkdir()
    references.save(references.load(chain["references"]), path)
    manifest = read_json(path / REFERENCES_FILE, "")
    write_json(path / REFERENCES_FILE, manifest | {"original": "0" * 64})
    given: dict[str, Any] = {"model_path": chain["model"], "split_path": chain["split"]}
    given |= {"evaluation_path": chain["before"], "model_name": "other", "run_name": "second"}
    with pytest.raises(UserError, match="give those of this original"):
        register(**given, references_path=path)
    assert register(**given, references_path=chain["references"]).tags.references == "8"
