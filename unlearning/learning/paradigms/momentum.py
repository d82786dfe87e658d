"""The slow copy of backbone and head that MoCo calls momentum encoder and BYOL target network."""

from __future__ import annotations

import torch
from torch import nn

from unlearning.learning.models import Model


def _online(model: Model) -> nn.Module:
    return nn.Sequential(model.backbone, model.head)


@torch.no_grad()
def follow(model: Model, momentum: float) -> None:
    """θ' ← m θ' + (1 − m) θ for every weight of the copy.

    Batch-norm statistics are not averaged: the copy collects its own while training.
    """
    for slow, fast in zip(model.momentum.parameters(), _online(model).parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)


def catch_up(model: Model) -> None:
    """θ' ← θ, statistics included: the copy forgets what the weights have forgotten."""
    model.momentum.load_state_dict(_online(model).state_dict())
