"""Shrink and perturb: move all weights most of the way to fresh ones, then learn on the retain set.

    θ₀ = κ θ + σ θ_fresh,   then minimise mean over retain of ℓ(x; θ) from θ₀

Ash & Adams 2020 (On Warm-Starting Neural Network Training, 1910.08475) make models that go on learning as good as if
they were trained afresh, in a fraction of the time; the noise is drawn as fresh weights are. As a way to forget it is
ours: what was learned of single records does not survive the shrinking, and what is general is learned again in a
fraction of the training's epochs. With κ = 0 it is exact retraining, only shorter. It sees neither the forget set nor
any non-member.
"""

from __future__ import annotations

import torch
from pydantic import Field

from unlearning.core.config import Config
from unlearning.core.seeding import generator, initialisation
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.training import OptimisationConfig, train


class ShrinkAndPerturbConfig(Config):
    """Settings of shrink and perturb."""

    optimisation: OptimisationConfig
    keep: float = Field(0.3, ge=0, lt=1, description="κ: share of the weights that is kept; 0 for fresh weights.")
    noise: float = Field(0.7, gt=0, description="σ: how much of fresh weights is added.")


def shrunk(model: Model, paradigm: Paradigm, config: ShrinkAndPerturbConfig, seed: int) -> Model:
    """The model with its trained weights moved; slow copies stay behind until they are made anew."""
    spec = model.spec
    with initialisation(seed, "shrink and perturb"):
        fresh = paradigm.build(spec.encoder, spec.image_shape, spec.class_names)
    added = dict(fresh.to(next(model.parameters()).device).named_parameters())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                weight.mul_(config.keep).add_(added[name], alpha=config.noise)
    return model


def shrink_and_perturb(
    model: Model, paradigm: Paradigm, *, retain: Records, config: ShrinkAndPerturbConfig, seed: int
) -> Model:
    """Forget by starting most of the way back, and learn again what stays."""
    moved = shrunk(model, paradigm, config, seed)
    paradigm.rebuild_state(moved, retain, generator(seed, "shrunk state", retain.images.device))
    return train(moved, paradigm, retain, config.optimisation, seed=seed, purpose="shrink and perturb")
