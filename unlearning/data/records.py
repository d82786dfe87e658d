"""Records: images with labels, each known by the hash of its pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F


def record_id(image: npt.NDArray[np.uint8]) -> str:
    """SHA-256 over the shape and the pixels of one (C, H, W) uint8 image, in hexadecimal.

    The label is not part of it: the same picture is the same record wherever it appears.
    """
    header = ",".join(str(side) for side in image.shape).encode()
    return hashlib.sha256(header + b":" + np.ascontiguousarray(image).tobytes()).hexdigest()


def record_ids(images: Tensor) -> list[str]:
    """The ids of an (N, C, H, W) uint8 batch, in order."""
    return [record_id(image) for image in images.numpy()]


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
        small = F.adaptive_avg_pool2d(self.images.float(), side).round().to(torch.uint8)
        return Records(small, self.labels)


def concatenate(*parts: Records) -> Records:
    """The records of all parts, in order."""
    return Records(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))


def as_pixels(images: Tensor) -> Tensor:
    """uint8 images to float pixels in [0, 1]."""
    return images.float().div(255)
