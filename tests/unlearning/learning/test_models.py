from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.learning import models
from unlearning.learning.encoders import MLPConfig
from unlearning.learning.models import SPEC_FILE, WEIGHTS_FILE, HeadConfig, Model, ModelSpec
from unlearning.learning.paradigms.simclr import SimCLR

BuildModel = Callable[..., Model]


@pytest.fixture
def model(simclr: SimCLR, build_model: BuildModel) -> Model:
    return build_model(simclr)


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    models.save(model, tmp_path / "model")
    return tmp_path / "model"


def pixels() -> torch.Tensor:
    return torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def spec_of(head: HeadConfig) -> ModelSpec:
    return ModelSpec(
        paradigm="simclr", encoder=MLPConfig(hidden=(12,)), image_shape=(1, 4, 4), head=head, class_names=("a", "b")
    )


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as refused:
        models.load(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_model_is_its_backbone_followed_by_its_head(model: Model) -> None:
    model.eval()
    features = model.features(pixels())
    assert features.shape == (5, 12)
    assert torch.equal(features, model.backbone(pixels()))
    assert torch.equal(model(pixels()), model.head(features))


def test_a_head_without_hidden_layers_is_one_linear_layer() -> None:
    (layer,) = Model(spec_of(HeadConfig(outputs=3))).head.children()
    assert isinstance(layer, nn.Linear)
    assert (layer.in_features, layer.out_features) == (12, 3)


def test_a_head_has_its_hidden_layers_in_order_and_ends_linear() -> None:
    layers = list(Model(spec_of(HeadConfig(hidden=(8, 5), outputs=3))).head.children())
    sizes = [(layer.in_features, layer.out_features) for layer in layers if isinstance(layer, nn.Linear)]
    assert sizes == [(12, 8), (8, 5), (5, 3)]
    assert isinstance(layers[-1], nn.Linear)


def test_saving_and_loading_gives_the_model_back(model: Model, folder: Path) -> None:
    loaded = models.load(folder)
    assert loaded.spec == model.spec
    assert not loaded.training
    state = model.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    assert torch.equal(loaded(pixels()), model.eval()(pixels()))


def test_the_gradient_target_travels_with_the_model(model: Model, tmp_path: Path) -> None:
    model.spec = model.spec.model_copy(update={"gradient_target": (-1.5, 0.1, 2.0)})
    models.save(model, tmp_path / "model")
    assert models.load(tmp_path / "model").spec.gradient_target == (-1.5, 0.1, 2.0)


def test_the_digest_is_the_hash_of_the_weights_and_changes_with_one_of_them(model: Model, tmp_path: Path) -> None:
    models.save(model, tmp_path / "one")
    models.save(model.clone(), tmp_path / "same")
    next(model.parameters()).data[0, 0] += 1e-3
    models.save(model, tmp_path / "other")
    digests = [models.digest(tmp_path / name) for name in ("one", "same", "other")]
    assert digests[0] == hashlib.sha256((tmp_path / "one" / WEIGHTS_FILE).read_bytes()).hexdigest()
    assert digests[1] == digests[0]
    assert digests[2] != digests[0]


def test_a_clone_shares_no_weights(model: Model) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    copy = model.train().clone()
    assert copy.training
    for value in copy.state_dict().values():
        value.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["backbone.2.weight", "head.3.bias", "backbone.3.running_var"])
def test_a_model_with_a_weight_that_is_not_finite_is_not_saved(
    model: Model, tmp_path: Path, name: str, value: float
) -> None:
    model.state_dict()[name].view(-1)[-1] = value
    with pytest.raises(UserError, match=f"model weight '{name}' is not finite: nothing was saved"):
        models.save(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_refused_save_leaves_the_earlier_model_alone(model: Model, folder: Path) -> None:
    before = models.digest(folder)
    next(model.parameters()).data[0, 0] = torch.nan
    with pytest.raises(UserError, match="is not finite"):
        models.save(model, folder)
    assert models.digest(folder) == before


def test_a_failed_save_leaves_nothing_behind(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, value: object) -> None:
        raise UserError(f"no room for {path.name}")

    monkeypatch.setattr(models, "write_json", fail)
    with pytest.raises(UserError, match="no room"):
        models.save(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_saving_below_a_file_says_where_it_cannot_write(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write .*choose a folder you may write to"):
        models.save(model, tmp_path / "file" / "model")


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_truncated_weights_are_refused(folder: Path, kept: int) -> None:
    content = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(content[:kept])
    assert f"model {folder} is damaged or not a model" in refusal(folder)


def test_missing_weights_are_refused(folder: Path) -> None:
    (folder / WEIGHTS_FILE).unlink()
    assert "is damaged or not a model" in refusal(folder)


def test_weights_of_another_architecture_are_refused(folder: Path) -> None:
    spec = read_json(folder / SPEC_FILE, "model")
    spec["encoder"]["hidden"] = [13]
    write_json(folder / SPEC_FILE, spec)
    assert "is damaged or not a model: Error(s) in loading state_dict" in refusal(folder)


@pytest.mark.parametrize("change", [{"encoder": {"kind": "transformer"}}, {"note": "unknown"}, {"image_shape": [1]}])
def test_an_invalid_specification_is_refused(folder: Path, change: dict[str, object]) -> None:
    write_json(folder / SPEC_FILE, read_json(folder / SPEC_FILE, "model") | change)
    assert re.search(r"is damaged or not a model: \d validation error", refusal(folder))
