"""Backbones: images in, features out. Heads are the paradigms' business."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unlearning.core.config import Config


class MLPConfig(Config):
    """Flattened pixels through fully connected layers with batch norm and ReLU."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[int, ...] = Field((512, 512), min_length=1)

    @property
    def features(self) -> int:
        return self.hidden[-1]


class SmallResNetConfig(Config):
    """Three residual stages of one basic block each: width, 2 × width, 4 × width channels."""

    kind: Literal["resnet_small"] = "resnet_small"
    width: int = Field(16, gt=0)

    @property
    def features(self) -> int:
        return 4 * self.width


class ResNet18Config(Config):
    """ResNet-18 (He et al. 2015, 1512.03385) with the CIFAR stem: a 3 × 3 first convolution of
    stride 1 and no max-pooling, as is usual for 32 × 32 images."""

    kind: Literal["resnet18"] = "resnet18"

    @property
    def features(self) -> int:
        return 512


EncoderConfig = Annotated[MLPConfig | SmallResNetConfig | ResNet18Config, Field(discriminator="kind")]


class Normalise(nn.Module):
    """Pixels in [0, 1] to about [-1, 1]; first layer of every backbone, so that gradients with
    respect to a view are in pixel units whatever the encoder."""

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels - 0.5) / 0.5


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return torch.relu(y + self.shortcut(x))


def _mlp(config: MLPConfig, image_shape: tuple[int, int, int]) -> nn.Module:
    channels, height, width = image_shape
    layers: list[nn.Module] = [Normalise(), nn.Flatten()]
    size = channels * height * width
    for hidden in config.hidden:
        layers += [nn.Linear(size, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()]
        size = hidden
    return nn.Sequential(*layers)


def _resnet_small(config: SmallResNetConfig, image_shape: tuple[int, int, int]) -> nn.Module:
    width = config.width
    return nn.Sequential(
        Normalise(),
        nn.Conv2d(image_shape[0], width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        BasicBlock(width, width, 1),
        BasicBlock(width, 2 * width, 2),
        BasicBlock(2 * width, 4 * width, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def _resnet18(image_shape: tuple[int, int, int]) -> nn.Module:
    # Imported here: torchvision takes longer to import than the small recipes take to need it.
    from torchvision.models import resnet18

    network = resnet18(weights=None)
    network.conv1 = nn.Conv2d(image_shape[0], 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    network.fc = nn.Identity()
    return nn.Sequential(Normalise(), network)


def build_backbone(config: EncoderConfig, image_shape: tuple[int, int, int]) -> nn.Module:
    """A freshly initialised backbone.

    Args:
        config: which backbone.
        image_shape: (C, H, W) of the pixels it will see.

    Returns:
        A module from (B, C, H, W) pixels in [0, 1] to (B, config.features) features.
    """
    match config:
        case MLPConfig():
            return _mlp(config, image_shape)
        case SmallResNetConfig():
            return _resnet_small(config, image_shape)
        case ResNet18Config():
            return _resnet18(image_shape)
