"""SSD, Selective Synaptic Dampening: shrink the weights that matter to the forget set far more than to the rest.

    I(S) = mean over x in S of ( ∂ℓ(x; θ) / ∂θ )²          the diagonal of the empirical Fisher information
    θᵢ ← βᵢ θᵢ  where  I_F,ᵢ > α I_D,ᵢ,   βᵢ = min( λ I_D,ᵢ / I_F,ᵢ , 1 )

Foster et al. 2024 (2308.07707): F is the forget set and D the whole training set, F included. Nothing is trained.
Since D holds F, no ratio I_F / I_D exceeds |D| / |F|: an α above that selects no weight at all. Reference:
if-loops/selective-synaptic-dampening@77161cc/ssd.py, which squares the mean gradient of a batch; ours squares every
record's own gradient.

ℓ is the paradigm's own loss of one draw of a record's views, in evaluation mode. In SimCLR's loss it depends on other
records: here these are `context` retained ones, as constants and never the record itself. How many records have their
gradients taken side by side (`batch_size`) decides only which ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from unlearning.core.config import Config
from unlearning.core.seeding import generator
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm

Importance = dict[str, Tensor]
"""By name of each trained weight, a number ≥ 0 for each of its entries."""


class SSDConfig(Config):
    """Settings of SSD."""

    alpha: float = Field(1.5, ge=0, description="α: how many times more a weight must matter to the forget set.")
    dampening: float = Field(1.0, ge=0, description="λ: smaller shrinks the chosen weights further.")
    context: int = Field(128, gt=0, description="Retained records that a contrastive loss tells a record from.")
    batch_size: int = Field(32, gt=0, description="Records whose gradients are taken side by side.")


class _OwnLoss(nn.Module):
    """The loss of one record, as a module, so that its weights can be handed in."""

    def __init__(self, model: Model, paradigm: Paradigm) -> None:
        super().__init__()
        self.model = model
        self.paradigm = paradigm

    def forward(self, views: Tensor, label: Tensor, context_records: Tensor) -> Tensor:
        losses = self.paradigm.per_sample_loss(
            self.model, views[:, None], label[None], isolate=True, context_records=context_records
        )
        return losses[0]


def summed_squares(
    model: Model, paradigm: Paradigm, records: Records, others: Iterable[Records], size: int, draw: torch.Generator
) -> Importance:
    """Sum over the records of the squared gradient of each one's own loss.

    Args:
        model: in evaluation mode.
        records: whose gradients.
        others: for every `size` of them, the records that a contrastive loss tells them from.
        draw: of the views.
    """
    own = _OwnLoss(model, paradigm)
    weights = {name: weight.detach() for name, weight in own.named_parameters() if weight.requires_grad}

    def loss(weights: Importance, views: Tensor, label: Tensor, context_records: Tensor) -> Tensor:
        return functional_call(own, weights, (views, label, context_records))  # type: ignore[no-any-return]

    gradients = vmap(grad(loss), in_dims=(None, 1, 0, None))
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for rows, nearby in zip(torch.split(torch.arange(len(records)), size), others, strict=True):
        batch = records[rows]
        views, context_records = paradigm.views(batch.images, draw), paradigm.views(nearby.images, draw)
        for name, each in gradients(weights, views, batch.labels, context_records).items():
            sums[name] += each.square().sum(dim=0)
    return {name.removeprefix("model."): values for name, values in sums.items()}


def importances(
    model: Model, paradigm: Paradigm, retain: Records, forget: Records, config: SSDConfig, draw: torch.Generator
) -> tuple[Importance, Importance]:
    """How much each weight matters to the forget set, and to the whole training set."""
    count = len(retain)
    retain = retain[torch.randperm(count, generator=draw, device=draw.device)]
    size = min(config.batch_size, max(1, count // 2))  # so that others are left to be told from

    def following(end: int, own: int) -> Records:
        """Retained records from `end` on, the first ones following the last; `own` of them are not among them."""
        return retain[(torch.arange(min(config.context, count - own)) + end) % count]

    ends = [(min(start + size, count), start) for start in range(0, count, size)]
    kept = summed_squares(model, paradigm, retain, (following(end, end - start) for end, start in ends), size, draw)
    foreign = (following(start, 0) for start in range(0, len(forget), size))
    forgotten = summed_squares(model, paradigm, forget, foreign, size, draw)
    whole = {name: (kept[name] + values) / (count + len(forget)) for name, values in forgotten.items()}
    return {name: values / len(forget) for name, values in forgotten.items()}, whole


def dampened(weight: Tensor, forgotten: Tensor, whole: Tensor, config: SSDConfig) -> Tensor:
    """A weight with the entries shrunk that matter to the forget set more than α times as much as to all."""
    factor = (config.dampening * whole / forgotten).clamp(max=1)
    return torch.where(forgotten > config.alpha * whole, factor * weight, weight)


def ssd(model: Model, paradigm: Paradigm, *, retain: Records, forget: Records, config: SSDConfig, seed: int) -> Model:
    """Shrink what matters to the forget set alone, without a step of training."""
    model.eval()
    draw = generator(seed, "ssd", retain.images.device)
    forgotten, whole = importances(model, paradigm, retain, forget, config, draw)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in whole:
                weight.copy_(dampened(weight, forgotten[name], whole[name], config))
    return model
