"""A few forgotten images and whom each model takes for their neighbours: only where somebody asks for images.

Images are personal data: nothing else that people look at contains one.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:  # a page without images needs no torch
    from torch import Tensor


@dataclass(frozen=True)
class Picture:
    """One image on the page."""

    address: str
    """A data URI: the page loads nothing."""
    said: str
    """What it is, for who does not see it."""
    cosine: float | None = None
    """With the forgotten image, for a neighbour."""


@dataclass(frozen=True)
class GalleryRow:
    """A forgotten image, and its nearest retained members by model, the nearest first."""

    forgotten: Picture
    neighbours: Mapping[str, tuple[Picture, ...]]


def picture(image: Tensor, said: str, cosine: float | None = None) -> Picture:
    """A (C, H, W) uint8 image, of one or three channels, as PNG inside an address."""
    pixels = image.cpu().numpy()
    drawn = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    buffer = io.BytesIO()
    drawn.save(buffer, format="PNG", optimize=True)
    return Picture(f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}", said, cosine)
