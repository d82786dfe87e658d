"""The only epoch loop: pretraining, retraining, finetuning and unlearning all run it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from unlearning.core.config import Config
from unlearning.core.errors import TrainingDivergedError, UserError
from unlearning.core.files import sha256_json
from unlearning.core.progress import track
from unlearning.core.seeding import generator
from unlearning.data.records import Records
from unlearning.learning.acceleration import Acceleration, AccelerationConfig
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


class Checkpoint:
    """Weights, optimiser state and random state after an epoch, in one safetensors file.

    `fingerprint` names the training it belongs to; another training's checkpoint is refused. `data` says
    what is trained on, for whoever has to find every trace of it. With `last` the finished model is saved
    too, for a training that is one of several: whoever goes on with the others finds it done.
    """

    def __init__(
        self,
        path: Path,
        fingerprint: object,
        every: int,
        data: Mapping[str, str] | None = None,
        *,
        last: bool = False,
    ) -> None:
        self.path = path
        self.partial = path.with_suffix(".partial")
        self.fingerprint = sha256_json(fingerprint)
        self.every = every
        self.data = dict(data or {})
        self.last = last

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether to save after `epoch` of `epochs`."""
        return self.last if epoch == epochs else epoch % self.every == 0

    def save(self, epoch: int, model: nn.Module, optimiser: torch.optim.Optimizer, draw: torch.Generator) -> None:
        """Replace the file in one step.

        Raises:
            UserError: the folder cannot be written to.
        """
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        for slot, values in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{slot}.{name}": value for name, value in values.items() if value is not None}
        tensors["random"] = draw.get_state()
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        metadata = self.data | {"epoch": str(epoch), "fingerprint": self.fingerprint}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, str(self.partial), metadata)
            self.partial.replace(self.path)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"cannot write checkpoint {self.path} ({error}): choose a folder you may write to"
            ) from None

    def load(self, model: nn.Module, optimiser: torch.optim.Optimizer, draw: torch.Generator) -> int:
        """Restore the state and return the number of finished epochs; 0 without a file.

        Raises:
            UserError: the file is damaged or belongs to another training.
        """
        if not self.path.exists():
            return 0
        try:
            with safe_open(str(self.path), framework="pt") as handle:
                metadata = handle.metadata() or {}
                tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"checkpoint {self.path} is damaged ({error}): delete it to start this training again"
            ) from None
        if metadata.get("fingerprint") != self.fingerprint:
            raise UserError(
                f"checkpoint {self.path} belongs to another training (recipe, seed or data differ): "
                "delete it or choose another folder"
            )
        model.load_state_dict(
            {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        )
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, slot, key = name.split(".", 2)
                state.setdefault(int(slot), {})[key] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        _lay_out_as_weights(optimiser)
        draw.set_state(tensors["random"])
        return json.loads(metadata["epoch"])  # type: ignore[no-any-return]

    def delete(self) -> None:
        """Remove the file once the finished model is saved: it holds the training data's traces."""
        for file in (self.path, self.partial):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # other files in its folder are not ours
            self.path.parent.rmdir()


def _lay_out_as_weights(optimiser: torch.optim.Optimizer) -> None:
    """Give the state the memory layout of its weights, which fused steps take for granted."""
    for weight, state in optimiser.state.items():
        for name, value in state.items():
            if value.shape == weight.shape and value.stride() != weight.stride():
                state[name] = torch.empty_like(weight).copy_(value)


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
