"""What a training paradigm gives: a model, views of images, and each record's own loss."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from unlearning.encoders import EncoderConfig
from unlearning.models import Model


class Paradigm(Protocol):
    """One objective. Training, the gradient penalty and the audit all use `per_sample_loss`."""

    name: str

    def build(self, encoder: EncoderConfig, image_shape: tuple[int, int, int], class_names: tuple[str, ...]) -> Model:
        """A model with random weights, drawn from torch's global generator."""
        ...

    def views(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(B, C, H, W) uint8 images to (V, B, C, H, W) random views in [0, 1]."""
        ...

    def per_sample_loss(self, model: Model, views: Tensor, labels: Tensor, *, isolate: bool = False) -> Tensor:
        """(B,) losses, one per record.

        With `isolate`, record i's loss depends on no other record's views (they enter as
        constants), so that the gradient of the sum is every record's own gradient.
        """
        ...

    def after_step(self, model: Model) -> None:
        """What follows an optimiser step: momentum encoders and queues move here."""
        ...
