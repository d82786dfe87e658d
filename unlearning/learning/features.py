"""Backbone features of many images, part by part."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearning.data.records import as_pixels
from unlearning.learning.models import Model

BATCH = 1024


def parts(images: Tensor) -> list[Tensor]:
    """(N, C, H, W) images in parts that fit beside a model."""
    return [images[start : start + BATCH] for start in range(0, len(images), BATCH)]


@torch.no_grad()
def features(model: Model, images: Tensor) -> Tensor:
    """(N, C, H, W) uint8 images to (N, D) backbone features."""
    return torch.cat([model.features(as_pixels(part)) for part in parts(images)])
