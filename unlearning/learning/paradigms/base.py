"""What a training paradigm gives: a model, views of images, and each record's own loss."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from unlearning.data.records import Records
from unlearning.learning.encoders import EncoderConfig
from unlearning.learning.models import Model


class Paradigm(Protocol):
    """One objective. Training, unlearning and the audit all use `per_sample_loss`."""

    name: str

    def build(self, encoder: EncoderConfig, image_shape: tuple[int, int, int], class_names: tuple[str, ...]) -> Model:
        """A model with random weights, drawn from torch's global generator."""
        ...

    def views(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(B, C, H, W) uint8 images to (V, B, C, H, W) random views in [0, 1]."""
        ...

    def per_sample_loss(
        self,
        model: Model,
        views: Tensor,
        labels: Tensor,
        *,
        isolate: bool = False,
        context_records: Tensor | None = None,
    ) -> Tensor:
        """(B,) losses, one per record.

        With `isolate`, record i's loss depends on no other record's views (they enter as
        constants), so that the gradient of the sum is every record's own gradient. `context_records` are
        (V, K, C, H, W) views of further records that a contrastive loss tells the batch from, as
        constants; other losses ignore them.
        """
        ...

    def while_unlearning(self) -> Paradigm:
        """The same objective with the pace of its slow parts made for unlearning's few steps."""
        ...

    def after_step(self, model: Model, views: Tensor) -> None:
        """What follows an optimiser step on (V, B, C, H, W) `views`: momentum encoder and queue move here.

        Only views of records that stay may be given: they are remembered.
        """
        ...

    def rebuild_state(self, model: Model, retain: Records, draw: torch.Generator) -> None:
        """Make anew, from the weights and the retained records alone, what is remembered beside the weights.

        Called before and after unlearning, so that no forgotten record's features stay in a queue
        and no momentum encoder keeps the weights that knew it.
        """
        ...
