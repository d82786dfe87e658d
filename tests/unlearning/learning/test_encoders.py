from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from unlearning.core.seeding import initialisation
from unlearning.learning.encoders import (
    BasicBlock,
    EncoderConfig,
    MLPConfig,
    Normalise,
    ResNet18Config,
    SmallResNetConfig,
    build_backbone,
)

Array = npt.NDArray[np.float64]

ENCODERS: tuple[EncoderConfig, ...] = (MLPConfig(hidden=(7, 5)), SmallResNetConfig(width=3), ResNet18Config())


def seeded_backbone(config: EncoderConfig, shape: tuple[int, int, int], seed: int = 0) -> nn.Module:
    with initialisation(seed, "test"):
        return build_backbone(config, shape)


def with_uneven_statistics(module: nn.Module) -> nn.Module:
    """Batch norms as after some training, so that a forgotten one shows."""
    draw = torch.Generator().manual_seed(3)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            for values, low, high in (
                (norm.running_mean, -0.5, 0.5),
                (norm.running_var, 0.5, 2.0),
                (norm.weight.data, 0.5, 1.5),
                (norm.bias.data, -0.5, 0.5),
            ):
                values.uniform_(low, high, generator=draw)
    return module.eval()


def pixels_of(count: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def array(values: Any) -> Array:
    return values.detach().double().numpy()  # type: ignore[no-any-return]


def batch_norm(values: Array, norm: nn.BatchNorm1d | nn.BatchNorm2d, axis: int) -> Array:
    """Evaluation-mode batch norm along the channel axis, written out."""
    shape = [1] * values.ndim
    shape[axis] = -1
    mean, variance, weight, bias = (
        array(part).reshape(shape) for part in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    result: Array = (values - mean) / np.sqrt(variance + norm.eps) * weight + bias
    return result


def convolution(image: Array, weight: Array, stride: int, padding: int) -> Array:
    """(C, H, W) with (O, C, K, K), one output at a time."""
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    size = weight.shape[-1]
    side = (padded.shape[-1] - size) // stride + 1
    result = np.zeros((len(weight), side, side))
    for output, row, column in itertools.product(range(len(weight)), range(side), range(side)):
        window = padded[:, row * stride : row * stride + size, column * stride : column * stride + size]
        result[output, row, column] = (window * weight[output]).sum()
    return result


@pytest.mark.parametrize("config", ENCODERS, ids=lambda config: config.kind)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 9)])
def test_backbones_give_the_features_they_promise(config: EncoderConfig, shape: tuple[int, int, int]) -> None:
    backbone = build_backbone(config, shape)
    assert backbone(pixels_of(2, shape)).shape == (2, config.features)


@pytest.mark.parametrize("config", ENCODERS, ids=lambda config: config.kind)
def test_in_evaluation_mode_an_image_is_encoded_the_same_in_any_company(config: EncoderConfig) -> None:
    backbone = with_uneven_statistics(seeded_backbone(config, (1, 8, 8)))
    pixels, order = pixels_of(5, (1, 8, 8)), torch.tensor([3, 0, 4, 2, 1])
    with torch.no_grad():
        together = backbone(pixels)
        torch.testing.assert_close(backbone(pixels[order]), together[order], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(backbone(pixels[2:3]), together[2:3], atol=1e-5, rtol=1e-4)
    assert together.std(dim=0).max() > 1e-3


@pytest.mark.parametrize("config", ENCODERS, ids=lambda config: config.kind)
def test_initial_weights_follow_from_the_seed(config: EncoderConfig) -> None:
    first, again, other = (
        nn.utils.parameters_to_vector(seeded_backbone(config, (1, 8, 8), seed).parameters()) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_normalisation_takes_pixels_to_minus_one_and_one() -> None:
    assert Normalise()(torch.tensor([0.0, 0.25, 0.5, 1.0])).tolist() == [-1.0, -0.5, 0.0, 1.0]


def test_mlp_is_what_numpy_computes() -> None:
    backbone = with_uneven_statistics(seeded_backbone(MLPConfig(hidden=(7, 5)), (2, 3, 4)))
    pixels = pixels_of(3, (2, 3, 4))
    values = array(pixels).reshape(3, -1) * 2 - 1
    linears = [layer for layer in backbone.modules() if isinstance(layer, nn.Linear)]
    norms = [layer for layer in backbone.modules() if isinstance(layer, nn.BatchNorm1d)]
    assert len(linears) == len(norms) == 2
    for linear, norm in zip(linears, norms, strict=True):
        values = np.maximum(batch_norm(values @ array(linear.weight).T, norm, axis=1), 0)
    np.testing.assert_allclose(array(backbone(pixels)), values, atol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(2, 2, 1), (2, 4, 2), (2, 3, 1)])
def test_basic_block_is_what_numpy_computes(inputs: int, outputs: int, stride: int) -> None:
    with initialisation(0, "test"):
        block = with_uneven_statistics(BasicBlock(inputs, outputs, stride))
    assert isinstance(block, BasicBlock)
    pixels = pixels_of(1, (inputs, 5, 5))
    image = array(pixels[0])
    hidden = np.maximum(batch_norm(convolution(image, array(block.first.weight), stride, 1), block.first_norm, 0), 0)
    expected = batch_norm(convolution(hidden, array(block.second.weight), 1, 1), block.second_norm, 0)
    if inputs == outputs:
        expected = expected + image
    else:
        assert isinstance(block.shortcut, nn.Sequential)
        project, norm = block.shortcut
        assert isinstance(norm, nn.BatchNorm2d)
        expected = expected + batch_norm(convolution(image, array(project.weight), stride, 0), norm, 0)
    np.testing.assert_allclose(array(block(pixels)[0]), np.maximum(expected, 0), atol=1e-5)


def test_resnet18_has_the_stem_for_small_images() -> None:
    """No stride and no pooling before the first stage; four stages then halve 16 pixels to 2."""
    backbone = build_backbone(ResNet18Config(), (3, 16, 16))
    sides: list[int] = []
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: sides.append(output.shape[-1]))
    backbone.eval()(pixels_of(1, (3, 16, 16)))
    assert sides[0] == 16
    assert sides[1:5] == [16] * 4
    assert sides[-1] == 2


@pytest.mark.parametrize(
    ("kind", "wrong"), [(MLPConfig, {"hidden": ()}), (SmallResNetConfig, {"width": 0}), (ResNet18Config, {"depth": 18})]
)
def test_impossible_encoders_are_refused(kind: type[Any], wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong)
