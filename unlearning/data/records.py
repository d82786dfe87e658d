"""Records: images with labels, each known by the hash of its pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from unlearning.core import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy.module("torch")

SMALLEST_CORE = 4
"""Pixels a side that are left of a picture without its borders, at least: of less, unlike pictures have the same."""


def record_id(image: npt.NDArray[np.uint8]) -> str:
    """SHA-256 over the shape and the pixels of one (C, H, W) uint8 image, in hexadecimal.

    Three channels that are equal count as one, so a grey picture has one id however it is stored. The label is not
    part of it: the same picture is the same record wherever it appears.
    """
    return _digest(image[:1] if _grey_in_colour(image) else image)


def other_id(image: npt.NDArray[np.uint8]) -> str | None:
    """The other id that a grey picture may have: over three equal channels, as snapshots had it that were made before
    such channels counted as one. None for a picture in colour, which has a single id.
    """
    if len(image) != 1 and not _grey_in_colour(image):
        return None
    return _digest(np.repeat(image[:1], 3, axis=0))


def core(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | None:
    """The (C, H, W) picture without rows and columns at its edges that are of one colour, as padding adds them.

    Padded, or with such borders cut off, a picture has the same core. None where there is no border to take off, or
    where less than `SMALLEST_CORE` pixels a side would be left.
    """
    left = image
    while _bordered(left):
        rows = np.flatnonzero(np.ptp(left, axis=2).any(axis=0))
        columns = np.flatnonzero(np.ptp(left, axis=1).any(axis=0))
        if not (len(rows) and len(columns)):
            return None
        left = left[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return None if left is image or min(left.shape[1:]) < SMALLEST_CORE else left


def picture_ids(image: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    """Every id that stands for the same picture, the record's own first: both of a grey one, and those of its core."""
    inner = core(image)
    found = [record_id(image), other_id(image)]
    if inner is not None:
        found += [record_id(inner), other_id(inner)]
    return tuple(dict.fromkeys(each for each in found if each is not None))


def record_ids(images: Tensor) -> list[str]:
    """The ids of an (N, C, H, W) uint8 batch, in order."""
    return [record_id(image) for image in images.numpy()]


def _grey_in_colour(image: npt.NDArray[np.uint8]) -> bool:
    return len(image) == 3 and np.array_equal(image[0], image[1]) and np.array_equal(image[0], image[2])


def _bordered(image: npt.NDArray[np.uint8]) -> bool:
    """Whether a row or column at an edge is of one colour."""
    edges = (image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1])
    return any(bool((edge == edge[:, :1]).all()) for edge in edges)


def _digest(image: npt.NDArray[np.uint8]) -> str:
    header = ",".join(str(side) for side in image.shape).encode()
    return hashlib.sha256(header + b":" + np.ascontiguousarray(image).tobytes()).hexdigest()


@dataclass(frozen=True)
class Records:
    """A batch of records on one device: images (N, C, H, W) uint8, labels (N,) int64."""

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        assert self.images.dtype == torch.uint8
        assert self.images.ndim == 4
        assert self.labels.dtype == torch.int64
        assert self.labels.shape == self.images.shape[:1]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Tensor | slice) -> Records:
        return Records(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> Records:
        return Records(self.images.to(device), self.labels.to(device))

    def resized(self, side: int) -> Records:
        """Area-averaged to `side` × `side` pixels, still uint8; unchanged when it already fits."""
        if self.images.shape[-2:] == (side, side):
            return self
        small = torch.nn.functional.adaptive_avg_pool2d(self.images.float(), side).round().to(torch.uint8)
        return Records(small, self.labels)


def concatenate(*parts: Records) -> Records:
    """The records of all parts, in order."""
    return Records(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))


def as_pixels(images: Tensor) -> Tensor:
    """uint8 images to float pixels in [0, 1]."""
    return images.float().div(255)
