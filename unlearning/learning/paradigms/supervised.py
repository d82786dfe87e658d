"""Supervised training: cross-entropy of a classifier on one augmented view."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.core.config import Config
from unlearning.data.augmentations import AugmentationConfig, independent_views
from unlearning.data.records import Records
from unlearning.learning.encoders import EncoderConfig
from unlearning.learning.models import HeadConfig, Model, ModelSpec


class SupervisedConfig(Config):
    """Settings of supervised training."""

    name: Literal["supervised"] = "supervised"
    augmentation: AugmentationConfig = AugmentationConfig()


class Supervised:
    """The cross-entropy objective over models with a linear classifier."""

    name = "supervised"

    def __init__(self, config: SupervisedConfig) -> None:
        self.config = config

    def build(self, encoder: EncoderConfig, image_shape: tuple[int, int, int], class_names: tuple[str, ...]) -> Model:
        head = HeadConfig(outputs=len(class_names))
        return Model(
            ModelSpec(paradigm=self.name, encoder=encoder, image_shape=image_shape, head=head, class_names=class_names)
        )

    def views(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """One random view: (1, B, C, H, W)."""
        return independent_views(images, 1, self.config.augmentation, generator)

    def per_sample_loss(
        self,
        model: Model,
        views: Tensor,
        labels: Tensor,
        *,
        isolate: bool = False,
        context_records: Tensor | None = None,
    ) -> Tensor:
        """Cross-entropy of each record, averaged over its views.

        In evaluation mode a record's loss never depends on the others, so neither `isolate` nor
        `context_records` changes anything; in training mode batch norm ties the batch together.
        """
        count = len(views)
        loss = F.cross_entropy(model(views.flatten(0, 1)), labels.repeat(count), reduction="none")
        return loss.view(count, -1).mean(dim=0)

    def while_unlearning(self) -> Supervised:
        """Itself: nothing in it is slow."""
        return self

    def after_step(self, model: Model, views: Tensor) -> None:
        """Supervised training keeps no state beside the weights."""

    def rebuild_state(self, model: Model, retain: Records, draw: torch.Generator) -> None:
        """There is none."""
