"""The only epoch loop: pretraining, retraining, finetuning and unlearning all run it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unlearning.core.config import Config
from unlearning.core.errors import TrainingDivergedError
from unlearning.core.progress import track
from unlearning.core.seeding import generator
from unlearning.data.records import Records
from unlearning.learning.acceleration import Acceleration, AccelerationConfig
from unlearning.learning.checkpoint import Checkpoint
from unlearning.learning.distributed import sharded
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm

BatchLoss = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""Row numbers of a batch and the source of randomness, to a scalar loss and the batch's views."""


class OptimisationConfig(Config):
    """How the one epoch loop steps."""

    epochs: int = Field(gt=0)
    batch_size: int = Field(256, ge=4, description="Upper bound; batches of an epoch are equal.")
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="Used by sgd alone.")
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    clip_norm: float | None = Field(None, gt=0, description="Largest gradient norm of a step.")


class TrainingConfig(OptimisationConfig):
    """How a model is trained from fresh weights; only there may the steps be accelerated."""

    # Left out where it is off, so that a recipe without it keeps its digest.
    acceleration: AccelerationConfig = Field(AccelerationConfig(), exclude_if=lambda value: not value.wanted)


def learning_rate(config: OptimisationConfig, step: int, steps: int) -> float:
    """The rate at `step` of `steps`; cosine falls from the configured rate towards zero."""
    if config.schedule == "cosine":
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
    return config.learning_rate


def make_optimiser(model: nn.Module, config: OptimisationConfig) -> torch.optim.Optimizer:
    """Adam or SGD over all parameters; Adam in one fused pass, a tenth faster on small models."""
    if config.optimiser == "adam":
        return torch.optim.Adam(model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)
    return torch.optim.SGD(model.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay)


def batches(count: int, batch_size: int, draw: torch.Generator) -> tuple[Tensor, ...]:
    """A random partition of `count` rows into equal batches of at most `batch_size`."""
    order = torch.randperm(count, generator=draw, device=draw.device)
    return order.tensor_split(math.ceil(count / batch_size))


def fit(
    model: Model,
    batch_loss: BatchLoss,
    count: int,
    config: OptimisationConfig,
    *,
    seed: int,
    purpose: str,
    after_step: Callable[[Model, Tensor], None] | None = None,
    after_epoch: Callable[[int], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Minimise `batch_loss` over batches of rows 0 … count − 1, changing `model` in place.

    Every draw (order of rows, views) comes from one generator seeded by (`seed`, `purpose`), so
    an interrupted run that resumes from its checkpoint ends with the same weights.

    Args:
        model: changed in place.
        batch_loss: what to minimise.
        count: how many rows there are.
        config: how to step.
        seed, purpose: of the randomness.
        after_step: called with the model and the batch's views.
        after_epoch: called with the number of finished epochs, to watch the model.
        checkpoint: where to save, and to go on from.

    Raises:
        TrainingDivergedError: the loss was not finite; the model must be thrown away.
    """
    device = next(model.parameters()).device
    draw = generator(seed, purpose, device)
    optimiser = make_optimiser(model, config)
    done = checkpoint.load(model, optimiser, draw) if checkpoint else 0
    per_epoch = math.ceil(count / config.batch_size)
    with sharded(model), track(purpose, config.epochs - done) as advance:
        for epoch in range(done, config.epochs):
            total = torch.zeros((), device=device)
            for number, rows in enumerate(batches(count, config.batch_size, draw)):
                rate = learning_rate(config, epoch * per_epoch + number, config.epochs * per_epoch)
                for group in optimiser.param_groups:
                    group["lr"] = rate
                loss, views = batch_loss(rows, draw)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                if config.clip_norm is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
                optimiser.step()
                if after_step is not None:
                    after_step(model, views)
                total += loss.detach()
            mean = total.item() / per_epoch
            if not math.isfinite(mean):
                raise TrainingDivergedError(
                    f"{purpose}: the loss became {mean} in epoch {epoch + 1}; nothing was saved: lower "
                    "the learning rate or set clip_norm"
                )
            if checkpoint and checkpoint.due(epoch + 1, config.epochs):
                checkpoint.save(epoch + 1, model, optimiser, draw)
            if after_epoch is not None:
                after_epoch(epoch + 1)
            advance(f"loss {mean:.4f}")


def train(
    model: Model,
    paradigm: Paradigm,
    members: Records,
    config: OptimisationConfig,
    *,
    seed: int,
    purpose: str = "train",
    after_epoch: Callable[[int], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Model:
    """Train `model` in place with its paradigm's loss, and return it in evaluation mode.

    Accelerated where the config says so. What follows a step (momentum encoder, queue) is not: it
    is remembered, and stays float32.
    """
    model.train()
    wanted = config.acceleration if isinstance(config, TrainingConfig) else AccelerationConfig()
    acceleration = Acceleration(wanted, next(model.parameters()).device)
    per_sample_loss = acceleration.loss(paradigm.per_sample_loss)

    def batch_loss(rows: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        batch = members[rows]
        views = acceleration.views(paradigm.views(batch.images, draw))
        return per_sample_loss(model, views, batch.labels).mean(), views

    with acceleration.layout(model):
        fit(
            model,
            batch_loss,
            len(members),
            config,
            seed=seed,
            purpose=purpose,
            after_step=paradigm.after_step,
            after_epoch=after_epoch,
            checkpoint=checkpoint,
        )
    return model.eval()


@dataclass(frozen=True)
class TrainResult:
    """A trained or unlearned model."""

    digest: str
    seconds: float
    device: str
