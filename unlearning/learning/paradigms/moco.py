"""MoCo: tell an image's other view from a queue of earlier images' views."""

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


class MoCoConfig(Config):
    """Settings of MoCo (He et al. 2019, 1911.05722) with the MLP head of version 2 (2003.04297)."""

    name: Literal["moco"] = "moco"
    temperature: float = Field(0.2, gt=0)
    momentum: float = Field(0.99, ge=0, lt=1, description="m: how slowly the key encoder follows.")
    unlearning_momentum: float = Field(0.95, ge=0, lt=1, description="The same while unlearning.")
    queue: int = Field(1024, gt=0, description="K: keys of earlier batches that serve as negatives.")
    symmetric: bool = Field(False, description="Let both views be the query in turn and average.")
    projector_hidden: tuple[int, ...] = (512,)
    projection: int = Field(128, gt=0)
    augmentation: AugmentationConfig = AugmentationConfig()


def info_nce(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """The InfoNCE loss of each record (He et al. 2019, equation 1).

    Args:
        queries, keys: (B, D) projections of two views, of any length.
        queue: (K, D) unit-length keys of other records.
        temperature: τ > 0.

    Returns:
        (B,) losses ≥ 0; smaller means query and key agree better than query and queue.
    """
    queries, keys = F.normalize(queries, dim=1), F.normalize(keys, dim=1)
    positive = (queries * keys).sum(dim=1, keepdim=True)
    logits = torch.cat([positive, queries @ queue.T], dim=1) / temperature
    return logits.logsumexp(dim=1) - logits[:, 0]


class MoCo:
    """The MoCo objective over models with a projector head, a momentum encoder and a queue."""

    name = "moco"

    def __init__(self, config: MoCoConfig) -> None:
        self.config = config

    def build(self, encoder: EncoderConfig, image_shape: tuple[int, int, int], class_names: tuple[str, ...]) -> Model:
        head = HeadConfig(hidden=self.config.projector_hidden, outputs=self.config.projection)
        return Model(
            ModelSpec(
                paradigm=self.name,
                encoder=encoder,
                image_shape=image_shape,
                head=head,
                class_names=class_names,
                momentum=True,
                queue=self.config.queue,
            )
        )

    def views(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Two independent random views, query and key: (2, B, C, H, W)."""
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
        """InfoNCE of each record against the queue; labels are not used.

        No gradient reaches a view through the momentum encoder: as in training, keys are
        constants. Negatives come from the queue alone, so neither `isolate` nor `context_records` changes
        anything.
        """
        queries = model(views.flatten(0, 1) if self.config.symmetric else views[0])
        with torch.no_grad():
            keys = model.momentum(views.flatten(0, 1) if self.config.symmetric else views[1])
        # A copy, since the queue moves on before a gradient may be asked for a second time.
        queue, temperature = model.queue.clone(), self.config.temperature
        if not self.config.symmetric:
            return info_nce(queries, keys, queue, temperature)
        (first, second), (first_key, second_key) = queries.chunk(2), keys.chunk(2)
        forward = info_nce(first, second_key, queue, temperature)
        return (forward + info_nce(second, first_key, queue, temperature)) / 2

    def while_unlearning(self) -> MoCo:
        """With `unlearning_momentum`: in a few dozen steps the training's own would hardly move the copy."""
        return MoCo(self.config.model_copy(update={"momentum": self.config.unlearning_momentum}))

    @torch.no_grad()
    def after_step(self, model: Model, views: Tensor) -> None:
        """The momentum encoder follows, then the batch's keys replace the oldest of the queue."""
        follow(model, self.config.momentum)
        _enqueue(model, model.momentum(views[1]))

    @torch.no_grad()
    def rebuild_state(self, model: Model, retain: Records, draw: torch.Generator) -> None:
        """Momentum encoder equal to the weights; a queue of retained records' keys, each at most once
        more often than any other."""
        catch_up(model)
        left = len(model.queue)
        while left > 0:
            rows = torch.randperm(len(retain), generator=draw, device=draw.device)[: min(left, len(retain))]
            _enqueue(model, model.momentum(self.views(retain.images[rows], draw)[1]))
            left -= len(rows)


def _enqueue(model: Model, keys: Tensor) -> None:
    """Write (B, D) keys over the oldest of the queue, in place."""
    keys = F.normalize(keys, dim=1)[-len(model.queue) :]
    places = (model.queue_position + torch.arange(len(keys), device=keys.device)) % len(model.queue)
    model.queue[places] = keys
    model.queue_position.copy_((places[-1] + 1) % len(model.queue))
