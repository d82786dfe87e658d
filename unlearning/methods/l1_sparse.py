"""ℓ1-sparse unlearning: finetune on the retain set while small weights are drawn to 0.

    L(θ) = mean over retain of ℓ(x; θ)  +  γₜ ‖θ‖₁,   γₜ = γ (1 − t / T) at step t of T

Jia et al. 2023 (Model Sparsity Can Simplify Machine Unlearning, 2304.04934): the forgotten records' share of the
weights is not renewed, and fades. Reference:
OPTML-Group/Unlearn-Sparse@16a2dbc/unlearn/FT.py, where γ falls epoch by epoch; ours falls step by step. Like theirs,
‖θ‖₁ is over all trained weights, biases and those of batch norm included; slow copies follow and are not in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor

from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.methods.objective import UnlearningConfig, minimise, steps_per_epoch


class L1SparseConfig(UnlearningConfig):
    """Settings of ℓ1-sparse unlearning. It sees no forgotten record, so `forget_batch` changes nothing."""

    weight: float = Field(5e-4, gt=0, description="γ: weight of the sum of absolute weights at the first step.")


def falling(count: int, config: L1SparseConfig) -> Iterator[float]:
    """1 − t / T for one step after the other, T of them having the term, with `count` retained records."""
    steps = config.active * config.optimisation.epochs * steps_per_epoch(count, config.optimisation)
    step = 0
    while True:
        yield max(1 - step / steps, 0.0)
        step += 1


def l1_norm(model: Model) -> Tensor:
    """Sum of the absolute values of all weights that are trained."""
    sums = [weight.abs().sum() for weight in model.parameters() if weight.requires_grad]
    return torch.stack(sums).sum()


def l1_sparse(model: Model, paradigm: Paradigm, *, retain: Records, config: L1SparseConfig, seed: int) -> Model:
    """Keep training on the retain set, with ever less pressure on the weights."""
    pressure = falling(len(retain), config)

    def sparsity(draw: torch.Generator) -> Tensor:
        return next(pressure) * l1_norm(model)

    return minimise(model, paradigm, retain, sparsity, config, seed=seed, purpose="l1_sparse")
