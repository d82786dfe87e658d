"""What makes training quicker on a GPU and nothing else: bfloat16, channels-last memory, compilation.

All of it is off unless a recipe's `training` asks for it, and lasts as long as `training.train`
does: pretraining and exact retraining. Approximate methods step without it, because
`torch.compile` cannot differentiate a gradient a second time, and so that their seconds compare.
Weights, optimiser and everything that is saved or measured are float32, uncompiled and in torch's
usual layout, with acceleration or without.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from pydantic import Field
from torch import Tensor, nn

from unlearning.core.config import Config

Loss = Callable[..., Tensor]
"""A paradigm's `per_sample_loss`."""


class AccelerationConfig(Config):
    """What to use, and where."""

    bf16: bool = Field(False, description="Forward passes in bfloat16 by autocast; weights stay float32.")
    channels_last: bool = Field(False, description="Images and convolutions in channels-last memory.")
    compile: bool = Field(False, description="The loss by torch.compile; slow to start, then quicker.")
    devices: tuple[str, ...] = Field(("cuda",), description="Ignored, with a warning, on any other kind of device.")
    backend: str = Field("inductor", description="Of torch.compile.")

    @property
    def wanted(self) -> tuple[str, ...]:
        """The settings that are on."""
        return tuple(name for name in ("bf16", "channels_last", "compile") if getattr(self, name))


class Acceleration:
    """How one training computes its losses: as the paradigm says, or quicker."""

    def __init__(self, config: AccelerationConfig, device: torch.device) -> None:
        self.config = config if device.type in config.devices else AccelerationConfig()
        self.device = device
        if self.config.wanted != config.wanted:
            print(
                f"warning: {', '.join(config.wanted)} of training.acceleration ignored: this is a {device.type}, "
                f"and it is for {', '.join(config.devices) or 'no device'}",
                file=sys.stderr,
                flush=True,
            )

    @contextmanager
    def layout(self, model: nn.Module) -> Iterator[None]:
        """Keep the weights in channels-last memory for a while. Their values stay the same."""
        if not self.config.channels_last:
            yield
            return
        model.to(memory_format=torch.channels_last)
        try:
            yield
        finally:
            model.to(memory_format=torch.contiguous_format)

    def views(self, views: Tensor) -> Tensor:
        """(V, B, C, H, W) views in the layout of the weights."""
        if not self.config.channels_last:
            return views
        flat = views.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return flat.unflatten(0, views.shape[:2])  # type: ignore[no-any-return, no-untyped-call]

    def loss(self, loss: Loss) -> Loss:
        """The same loss of each record, quicker, and in float32 whatever it was computed in."""
        quick = torch.compile(loss, backend=self.config.backend) if self.config.compile else loss
        return self._in_bf16(quick) if self.config.bf16 else quick

    def _in_bf16(self, loss: Loss) -> Loss:
        def cast(*arguments: object) -> Tensor:
            with torch.autocast(self.device.type, torch.bfloat16):
                return loss(*arguments).float()

        return cast
