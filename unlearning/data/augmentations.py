"""Random views, made for a whole batch at once on the device it lives on."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unlearning.core.config import Config
from unlearning.data.records import as_pixels


class AugmentationConfig(Config):
    """Strength of each random change; 0 switches a change off, `crop_min_scale` 1 the crop."""

    crop_min_scale: float = Field(0.5, gt=0, le=1, description="Smallest cropped area, as a share.")
    flip: float = Field(0.5, ge=0, le=1, description="Probability of a left-right flip.")
    brightness: float = Field(0.3, ge=0, lt=1, description="Brightness factor is 1 ± this.")
    contrast: float = Field(0.3, ge=0, lt=1, description="Contrast factor is 1 ± this.")
    grayscale: float = Field(0.0, ge=0, le=1, description="Probability of grey (colour images).")


def _uniform(shape: tuple[int, ...], low: float, high: float, like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty(shape, device=like.device).uniform_(low, high, generator=generator)


def _crop_and_flip(pixels: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Random square crop resized to the input's side, and flip, as one affine sampling."""
    batch = (len(pixels),)
    scale = _uniform(batch, config.crop_min_scale, 1.0, pixels, generator).sqrt()
    flip = _uniform(batch, 0, 1, pixels, generator) < config.flip
    shift_x = _uniform(batch, -1, 1, pixels, generator) * (1 - scale)
    shift_y = _uniform(batch, -1, 1, pixels, generator) * (1 - scale)
    theta = torch.zeros(len(pixels), 2, 3, device=pixels.device)
    theta[:, 0, 0] = torch.where(flip, -scale, scale)
    theta[:, 1, 1] = scale
    theta[:, 0, 2] = shift_x
    theta[:, 1, 2] = shift_y
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def _jitter(pixels: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Random brightness and contrast, clamped to [0, 1]."""
    shape = (len(pixels), 1, 1, 1)
    brightness = _uniform(shape, 1 - config.brightness, 1 + config.brightness, pixels, generator)
    contrast = _uniform(shape, 1 - config.contrast, 1 + config.contrast, pixels, generator)
    bright = pixels * brightness
    mean = bright.mean(dim=(1, 2, 3), keepdim=True)
    return ((bright - mean) * contrast + mean).clamp(0, 1)


def _to_grey(pixels: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    chosen = _uniform((len(pixels), 1, 1, 1), 0, 1, pixels, generator) < config.grayscale
    return torch.where(chosen, pixels.mean(dim=1, keepdim=True).expand_as(pixels), pixels)


def independent_views(images: Tensor, count: int, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Random views of each image, one after another from the same generator.

    Args:
        images: (B, C, H, W) uint8.
        count: V, how many.
        config: which changes, how strong.
        generator: on the device of `images`.

    Returns:
        (V, B, C, H, W) float in [0, 1].
    """
    pixels = as_pixels(images)
    return torch.stack([augment(pixels, config, generator) for _ in range(count)])


def augment(pixels: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """One random view of each image.

    Args:
        pixels: (B, C, H, W) float in [0, 1].
        config: which changes, how strong.
        generator: on the device of `pixels`; the only source of randomness.

    Returns:
        (B, C, H, W) float in [0, 1].
    """
    if config.crop_min_scale < 1 or config.flip > 0:
        pixels = _crop_and_flip(pixels, config, generator)
    if config.brightness > 0 or config.contrast > 0:
        pixels = _jitter(pixels, config, generator)
    if config.grayscale > 0 and pixels.shape[1] > 1:
        pixels = _to_grey(pixels, config, generator)
    return pixels
