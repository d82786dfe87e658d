"""BYOL: predict what a slow copy of the model says of an image's other view."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unlearning.core.config import Config
from unlearning.data.augmentations import AugmentationConfig, independent_views
from unlearning.data.records import Records
from unlearning.learning.encoders import EncoderConfig
from unlearning.learning.models import HeadConfig, Model, ModelSpec
from unlearning.learning.paradigms.momentum import catch_up, follow


class BYOLConfig(Config):
    """Settings of BYOL (Grill et al. 2020, 2006.07733); the target's momentum is constant."""

    name: Literal["byol"] = "byol"
    momentum: float = Field(0.99, ge=0, lt=1, description="How slowly the target network follows.")
    unlearning_momentum: float = Field(0.95, ge=0, lt=1, description="The same while unlearning.")
    projector_hidden: tuple[int, ...] = (512,)
    predictor_hidden: tuple[int, ...] = (512,)
    projection: int = Field(128, gt=0)
    augmentation: AugmentationConfig = AugmentationConfig()


def prediction_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """‖p̄ − z̄‖² of unit-length vectors (Grill et al. 2020, equation 2), which is 2 − 2 cos(p, z).

    Args:
        predictions, targets: (B, D), of any length.

    Returns:
        (B,) errors between 0 (same direction) and 4 (opposite).
    """
    return 2 - 2 * F.cosine_similarity(predictions, targets, dim=1)


class BYOL:
    """The BYOL objective over models with a projector head, a predictor and a target network."""

    name = "byol"

    def __init__(self, config: BYOLConfig) -> None:
        self.config = config

    def build(self, encoder: EncoderConfig, image_shape: tuple[int, int, int], class_names: tuple[str, ...]) -> Model:
        return Model(
            ModelSpec(
                paradigm=self.name,
                encoder=encoder,
                image_shape=image_shape,
                head=HeadConfig(hidden=self.config.projector_hidden, outputs=self.config.projection),
                class_names=class_names,
                predictor=HeadConfig(hidden=self.config.predictor_hidden, outputs=self.config.projection),
                momentum=True,
            )
        )

    def views(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Two independent random views: (2, B, C, H, W)."""
        return independent_views(images, 2, self.config.augmentation, generator)

    def per_sample_loss(
        self,
        model: Model,
        views: Tensor,
        labels: Tensor,
        *,
        isolate: bool = False,
        context_records: Tensor | None = None,
    ) -> Tensor:
        """Error of predicting each view's target from the other view, averaged over both directions.

        Labels are not used. Targets are constants: no gradient reaches a view through the target
        network. There are no negatives, so neither `isolate` nor `context_records` changes
        anything.
        """
        predictions = model.predictor(model(views.flatten(0, 1)))
        with torch.no_grad():
            targets = model.momentum(views.flip(0).flatten(0, 1))
        return prediction_error(predictions, targets).view(2, -1).mean(dim=0)

    def while_unlearning(self) -> BYOL:
        """With `unlearning_momentum`: in a few dozen steps the training's own would hardly move the copy."""
        return BYOL(self.config.model_copy(update={"momentum": self.config.unlearning_momentum}))

    def after_step(self, model: Model, views: Tensor) -> None:
        """The target network follows."""
        follow(model, self.config.momentum)

    def rebuild_state(self, model: Model, retain: Records, draw: torch.Generator) -> None:
        """A target network equal to the weights."""
        catch_up(model)
