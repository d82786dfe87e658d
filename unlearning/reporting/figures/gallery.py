"""A few forgotten images and whom each model takes for their neighbours: only where somebody asks for images.

Images are personal data: nothing else that people look at contains one.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:  # a page without images needs no torch
    from torch import Tensor

    from unlearning.data.snapshots import Snapshot


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


def gallery_rows(
    snapshot: Snapshot, forgotten: tuple[str, ...], neighbours: Mapping[str, Sequence[Sequence[tuple[str, float]]]]
) -> list[GalleryRow]:
    """The images of forgotten records and of their neighbours.

    Args:
        snapshot: that holds all of them.
        forgotten: N record ids.
        neighbours: by model, N times the ids of the neighbours, the nearest first, and their cosines.
    """
    records = snapshot.rows(forgotten)
    return [
        GalleryRow(
            forgotten=picture(records.images[row], _said(snapshot, "forgotten image", int(records.labels[row]))),
            neighbours={name: _neighbours(snapshot, found[row]) for name, found in neighbours.items()},
        )
        for row in range(len(forgotten))
    ]


def _neighbours(snapshot: Snapshot, found: Sequence[tuple[str, float]]) -> tuple[Picture, ...]:
    near = snapshot.rows(tuple(identity for identity, _ in found))
    return tuple(
        picture(near.images[place], _said(snapshot, f"neighbour {place + 1}", int(near.labels[place])), cosine)
        for place, (_, cosine) in enumerate(found)
    )


def _said(snapshot: Snapshot, what: str, label: int) -> str:
    return f"{what}, class {snapshot.manifest.class_names[label]}"
