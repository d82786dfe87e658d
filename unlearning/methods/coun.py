"""CoUn: learn contrastively from the retain set, beside its own loss, and let forgotten records follow.

    forgetting(θ) = mean over retain of NT-Xent( h(first view), h(second view) ),  h the backbone's features

After Khalil et al. 2025 (CoUn: Empowering Machine Unlearning via Contrastive Learning, 2509.16391), of which this
follows the abstract alone: an exactly retrained model judges forgotten records by what retained ones are like them, so
contrastive learning and supervised learning on retained records only push the forgotten ones' representations there.
Which contrastive loss, at which layer, with which views and weight are our choices: NT-Xent (Chen et al. 2020,
2002.05709) of backbone features without a projector.

For classifiers ℓ is the supervised part. The other paradigms are contrastive anyway and know no classes: there, ours, ℓ
is their own loss, and what is new is the layer, and for BYOL the negatives. No label is used, which would teach an
encoder what it was trained without.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from unlearning.data.augmentations import AugmentationConfig, independent_views
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.paradigms.simclr import nt_xent
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise


class CoUnConfig(UnlearningConfig):
    """Settings of CoUn. It sees no forgotten record, so `forget_batch` changes nothing."""

    temperature: float = Field(0.2, gt=0, description="τ of the contrastive loss.")
    augmentation: AugmentationConfig | None = Field(
        None, description="Views of the contrastive loss; as the paradigm's own, if unset."
    )


def two_views(paradigm: Paradigm, images: Tensor, config: CoUnConfig, draw: torch.Generator) -> Tensor:
    """(2, B, C, H, W) views of (B, C, H, W) images."""
    if config.augmentation is not None:
        return independent_views(images, 2, config.augmentation, draw)
    views = paradigm.views(images, draw)
    return views[:2] if len(views) > 1 else torch.cat([views, paradigm.views(images, draw)])


def coun(model: Model, paradigm: Paradigm, *, retain: Records, config: CoUnConfig, seed: int) -> Model:
    """Keep training on the retain set, contrastively too."""

    def contrast(draw: torch.Generator) -> Tensor:
        batch = draw_batch(retain, config.optimisation.batch_size, draw)
        first, second = model.features(two_views(paradigm, batch.images, config, draw).flatten(0, 1)).chunk(2)
        return nt_xent(first, second, config.temperature).mean()

    return minimise(model, paradigm, retain, contrast, config, seed=seed, purpose="coun")
