"""SalUn: random labels, but only the weights that the forget set speaks to may move.

Fan et al. 2023 (2310.12508): the mask keeps the weights whose gradient of the forget set's loss is
largest in absolute value (their equation 3), and unlearning with random labels leaves all others as
they were (equation 4). Reference: OPTML-Group/Unlearn-Saliency@a6e89fd/Classification/generate_mask.py
and Classification/unlearn/RL.py. The contrastive counterpart of random labels is `random_label`'s.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from unlearning.core.errors import UserError
from unlearning.core.seeding import generator
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise
from unlearning.methods.random_label import mistaught_loss


class SaliencyConfig(UnlearningConfig):
    """Settings of saliency-masked unlearning."""

    share: float = Field(0.5, gt=0, le=1, description="Share of the weights that may move.")


def saliency_masks(
    model: Model, paradigm: Paradigm, forget: Records, share: float, draw: torch.Generator
) -> dict[str, Tensor]:
    """By name of each trainable weight, 1 where it may move and 0 where not.

    The `share` of all weights with the largest |∂ mean ℓ(forget) / ∂θ| may; the ranking is over
    all of them together.
    """
    views = paradigm.views(forget.images, draw)
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    loss = paradigm.per_sample_loss(model, views, forget.labels).mean()
    gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    salience = [
        torch.zeros_like(weight) if gradient is None else gradient.abs()
        for weight, gradient in zip(weights.values(), gradients, strict=True)
    ]
    everything = torch.cat([values.flatten() for values in salience])
    kept = everything.argsort(descending=True, stable=True)[: round(share * len(everything))]
    flat = torch.zeros_like(everything).index_fill_(0, kept, 1.0)
    parts = torch.split(flat, [values.numel() for values in salience])
    return {name: part.view_as(weight) for (name, weight), part in zip(weights.items(), parts, strict=True)}


def saliency(
    model: Model, paradigm: Paradigm, *, retain: Records, forget: Records, config: SaliencyConfig, seed: int
) -> Model:
    """Learn wrong answers for the forget set with the weights that matter to it alone.

    Raises:
        UserError: weight decay is set, which would move the other weights too.
    """
    if config.optimisation.weight_decay > 0:
        raise UserError("saliency keeps masked weights as they are: set its weight_decay to 0")
    model.eval()
    masks = saliency_masks(model, paradigm, forget, config.share, generator(seed, "saliency", forget.images.device))
    # A weight whose gradient is always 0 stays bit for bit as it was, with SGD and with Adam.
    hooks = [
        weight.register_hook(masks[name].mul)  # type: ignore[no-untyped-call]
        for name, weight in model.named_parameters()
        if name in masks
    ]

    def mistaught(draw: torch.Generator) -> Tensor:
        forgotten = draw_batch(forget, config.forget_batch, draw)
        views = paradigm.views(forgotten.images, draw)
        return mistaught_loss(model, paradigm, forgotten, views, draw).mean()

    try:
        return minimise(model, paradigm, retain, mistaught, config, seed=seed, purpose="saliency")
    finally:
        for hook in hooks:
            hook.remove()
