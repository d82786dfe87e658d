from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unlearning.steps.interruption import files_below, stop_after
from unlearning.core.errors import TrainingDivergedError, UserError
from unlearning.core.files import read_json, write_json
from unlearning.data import snapshots, splits
from unlearning.data.records import as_pixels
from unlearning.learning import models
from unlearning.learning.input_gradients import TARGET_QUANTILES
from unlearning.learning.training import TrainResult
from unlearning.recipes import provenance
from unlearning.steps.pretrain import pretrain

Chain = dict[str, Path]


def pretrain_into(chain: Chain, path: Path, recipe: Path | None = None, seed: int = 0) -> TrainResult:
    return pretrain(
        snapshot_path=chain["snapshot"],
        split_path=chain["split"],
        recipe_path=recipe or chain["resolved"],
        seed=seed,
        device="cpu",
        model_path=path,
    )


def interrupt(chain: Chain, path: Path, patch: pytest.MonkeyPatch) -> None:
    """Pretrain for three of six epochs; the checkpoint is from the second."""
    with patch.context() as inner:
        stop_after(inner, 3)
        with pytest.raises(ConnectionAbortedError):
            pretrain_into(chain, path)


def test_the_model_is_loadable_and_says_where_it_comes_from(chain: Chain) -> None:
    model = models.load(chain["model"])
    images = snapshots.load(chain["snapshot"]).records.images[:5]
    assert model(as_pixels(images)).shape == (5, 10)
    assert len(model.spec.gradient_target) == TARGET_QUANTILES
    assert torch.tensor(model.spec.gradient_target).isfinite().all()
    made = provenance.load(chain["model"])
    split = splits.load(chain["split"])
    assert (made.method, made.seed, made.parent, made.forget) == ("pretrain", 0, "", "")
    assert (made.split, made.snapshot) == (split.digest, split.snapshot)


def test_the_seed_decides_the_weights(chain: Chain, tmp_path: Path) -> None:
    assert pretrain_into(chain, tmp_path / "again").digest == models.digest(chain["model"])
    assert pretrain_into(chain, tmp_path / "other", seed=1).digest != models.digest(chain["model"])


def test_a_diverged_training_leaves_no_model(chain: Chain, checkpoints: Path, tmp_path: Path) -> None:
    recipe = read_json(chain["resolved"], "recipe")
    recipe["training"] |= {"optimiser": "sgd", "learning_rate": 1e30}
    write_json(tmp_path / "recipe", recipe)
    with pytest.raises(TrainingDivergedError, match="lower the learning rate") as caught:
        pretrain_into(chain, tmp_path / "model", tmp_path / "recipe")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe"]


def test_an_interrupted_training_goes_on_from_its_checkpoint(
    chain: Chain, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(chain, tmp_path / "model", monkeypatch)
    assert [path.name for path in files_below(checkpoints)] == ["state.safetensors"]
    assert not (tmp_path / "model").exists()
    asked = stop_after(monkeypatch, -1)
    resumed = pretrain_into(chain, tmp_path / "model")
    assert asked == [4]
    assert resumed.digest == models.digest(chain["model"])
    assert files_below(checkpoints) == []


def test_another_seed_does_not_take_up_the_checkpoint(
    chain: Chain, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(chain, tmp_path / "model", monkeypatch)
    asked = stop_after(monkeypatch, -1)
    pretrain_into(chain, tmp_path / "model", seed=1)
    assert asked == [6]


def test_a_truncated_checkpoint_is_named_in_one_line(
    chain: Chain, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(chain, tmp_path / "model", monkeypatch)
    (state,) = files_below(checkpoints)
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged") as caught:
        pretrain_into(chain, tmp_path / "model")
    message = str(caught.value)
    assert str(state) in message
    assert "\n" not in message
    assert not (tmp_path / "model").exists()


def test_a_diverged_training_leaves_no_checkpoint_to_diverge_from_again(
    chain: Chain, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(chain, tmp_path / "model", monkeypatch)

    def diverge(*arguments: object, **options: object) -> None:
        raise TrainingDivergedError("the loss became nan")

    monkeypatch.setattr("unlearning.recipes.pretraining.train", diverge)
    with pytest.raises(TrainingDivergedError):
        pretrain_into(chain, tmp_path / "model")
    assert list(checkpoints.iterdir()) == []
