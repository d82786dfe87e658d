"""What approximate methods share: keep learning on the retain set, and one more term that forgets.

    L(θ) = mean over retain of ℓ(x; θ)  +  λ · forgetting(θ)  +  δ · drift(θ)

The forgetting term is each method's own. The retain set is learned as in training, batch norm included:
its statistics come to be those of the records that stay. The forgetting term sees the model as it will be
used, in evaluation mode, so a record's own gradient is its own and no forgotten record is in the statistics.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from pydantic import Field
from torch import Tensor, nn

from unlearning.core.config import Config
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.training import OptimisationConfig, fit

ForgettingTerm = Callable[[torch.Generator], Tensor | None]
"""A source of randomness to the scalar that is smaller the better the model has forgotten; None
where a step can do without."""


class UnlearningConfig(Config):
    """Settings that every approximate method has."""

    optimisation: OptimisationConfig
    weight: float = Field(1.0, gt=0, description="λ: weight of the forgetting term.")
    forget_batch: int = Field(128, gt=1, description="Forget records per step.")
    distillation: float = Field(0.0, ge=0, description="δ: weight of keeping the retain set's features in place.")
    active: float = Field(1.0, gt=0, le=1, description="Share of the steps, the first ones, with the forgetting term.")


def draw_batch(records: Records, size: int, draw: torch.Generator) -> Records:
    """`size` records without replacement, or all of them in random order if there are fewer."""
    rows = torch.randperm(len(records), generator=draw, device=draw.device)[:size]
    return records[rows]


def relative_drift(features: Tensor, before: Tensor) -> Tensor:
    """How far (B, D) features moved: mean of ‖h − h₀‖² / ‖h₀‖².

    0 when nothing moved. Not part of the paper: it keeps what a linear probe can read.
    """
    return ((features - before).square().sum(dim=1) / before.square().sum(dim=1).clamp_min(1e-12)).mean()


class _Watched:
    """The pixels and features of the last differentiable pass through a backbone.

    The drift is taken where the loss itself looked, without a second pass through the model.
    """

    def __init__(self, backbone: nn.Module) -> None:
        self._hook = backbone.register_forward_hook(self._keep)
        self.pixels = self.features = torch.empty(0)

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if torch.is_grad_enabled():
            self.pixels, self.features = inputs[0], output

    def close(self) -> None:
        self._hook.remove()


def steps_per_epoch(count: int, config: OptimisationConfig) -> int:
    """How many batches `count` retained records make."""
    return math.ceil(count / config.batch_size)


def _active_steps(count: int, config: UnlearningConfig) -> Iterator[bool]:
    """For one step after the other: does it carry the forgetting term?"""
    steps = config.optimisation.epochs * steps_per_epoch(count, config.optimisation)
    return (step < config.active * steps for step in itertools.count())


def minimise(
    model: Model,
    paradigm: Paradigm,
    retain: Records,
    forgetting: ForgettingTerm,
    config: UnlearningConfig,
    *,
    seed: int,
    purpose: str,
) -> Model:
    """Step along the retain set's loss, λ times the forgetting term, and δ times the drift, in place."""
    original, watched = model.clone().eval(), _Watched(model.backbone)
    active = _active_steps(len(retain), config)

    def batch_loss(rows: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        batch = retain[rows]
        views = paradigm.views(batch.images, draw)
        model.train()
        loss = paradigm.per_sample_loss(model, views, batch.labels).mean()
        model.eval()
        if config.distillation > 0:
            with torch.no_grad():
                before = original.features(watched.pixels)
            loss = loss + config.distillation * relative_drift(watched.features, before)
        term = forgetting(draw) if next(active) else None
        return (loss if term is None else loss + config.weight * term), views

    try:
        fit(
            model,
            batch_loss,
            len(retain),
            config.optimisation,
            seed=seed,
            purpose=purpose,
            after_step=paradigm.after_step,
        )
    finally:
        watched.close()
    return model.eval()
