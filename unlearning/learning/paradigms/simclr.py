"""SimCLR: pull two views of an image together, push all other images' views away."""

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


class SimCLRConfig(Config):
    """Settings of SimCLR (Chen et al. 2020, 2002.05709)."""

    name: Literal["simclr"] = "simclr"
    temperature: float = Field(0.2, gt=0)
    projector_hidden: tuple[int, ...] = (512,)
    projection: int = Field(128, gt=0)
    augmentation: AugmentationConfig = AugmentationConfig()


def nt_xent(
    first: Tensor, second: Tensor, temperature: float, *, isolate: bool = False, context_records: Tensor | None = None
) -> Tensor:
    """The NT-Xent loss of each record (Chen et al. 2020, equation 1), averaged over its two views.

    Args:
        first, second: (B, D) projections of two views, of any length.
        temperature: τ > 0; smaller weighs hard negatives more.
        isolate: treat the other records' projections as constants.
        context_records: (C, D) projections of further records, as more negatives.

    Returns:
        (B,) losses ≥ 0; smaller means the views agree better than with any other record.
    """
    queries = F.normalize(torch.cat([first, second]), dim=1)
    negatives = queries.detach() if isolate else queries
    count = len(first)
    own = torch.arange(2 * count, device=first.device)
    positive = (queries * queries.roll(count, dims=0)).sum(dim=1)
    similarity = queries @ negatives.T
    # An image is no negative of itself; its other view is the positive, computed apart so that
    # isolating the negatives leaves both of the record's own views in its gradient.
    mask = own[:, None] % count == own[None, :] % count
    similarity = similarity.masked_fill(mask, -torch.inf)
    parts = [positive[:, None], similarity]
    if context_records is not None:
        parts.append(queries @ F.normalize(context_records, dim=1).T)
    logits = torch.cat(parts, dim=1) / temperature
    loss = logits.logsumexp(dim=1) - logits[:, 0]
    return (loss[:count] + loss[count:]) / 2


class SimCLR:
    """The SimCLR objective over models with a projector head."""

    name = "simclr"

    def __init__(self, config: SimCLRConfig) -> None:
        self.config = config

    def build(self, encoder: EncoderConfig, image_shape: tuple[int, int, int], class_names: tuple[str, ...]) -> Model:
        head = HeadConfig(hidden=self.config.projector_hidden, outputs=self.config.projection)
        return Model(
            ModelSpec(paradigm=self.name, encoder=encoder, image_shape=image_shape, head=head, class_names=class_names)
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
        """NT-Xent of each record within its batch and its context; labels are not used."""
        first, second = model(views.flatten(0, 1)).chunk(2)
        others = None
        if context_records is not None:
            with torch.no_grad():
                others = model(context_records.flatten(0, 1))
        return nt_xent(first, second, self.config.temperature, isolate=isolate, context_records=others)

    def while_unlearning(self) -> SimCLR:
        """Itself: nothing in it is slow."""
        return self

    def after_step(self, model: Model, views: Tensor) -> None:
        """SimCLR keeps no state beside the weights."""

    def rebuild_state(self, model: Model, retain: Records, draw: torch.Generator) -> None:
        """There is none."""
