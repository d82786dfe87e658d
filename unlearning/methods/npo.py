"""Bounded ascent in the form of NPO, Negative Preference Optimization (Zhang et al. 2024, 2404.05868).

    forgetting(θ) = mean over forget of  −(2/β) log σ( −β log(π_θ / π_ref) )

π is the probability of the right answer and π_ref that of the model as it was, frozen. The paper has language
models. Here ℓ = −log π, so log(π_θ / π_ref) = ℓ_ref(x) − ℓ(x; θ): exact where ℓ is a negative log-probability (NT-Xent,
InfoNCE, cross-entropy), and ours by analogy for BYOL, whose ℓ is a distance. It starts as gradient ascent does, and
the steps of a record shrink to nothing as its loss grows beyond 1/β above what it was; for β → 0 they never shrink.

Both models are asked the same: the same views, and what stands beside the weights, MoCo's queue and keys and BYOL's
targets, is the current model's for both.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise


class NPOConfig(UnlearningConfig):
    """Settings of NPO."""

    beta: float = Field(1.0, gt=0, description="β: how soon a record whose loss has grown is let go.")


def bounded_ascent(losses: Tensor, reference: Tensor, beta: float) -> Tensor:
    """−(2/β) log σ(−β (ℓ_ref − ℓ)) of each record; above 0, and smaller the larger its loss has become.

    Args:
        losses: (B,) of the model that forgets.
        reference: (B,) of the model as it was, without a gradient.
        beta: β > 0.
    """
    return 2 / beta * F.softplus(beta * (reference - losses))


def reference_of(model: Model) -> Model:
    """The model's weights as they are now; momentum encoder and queue are those of the given model, and stay so."""
    reference = model.clone().eval().requires_grad_(False)
    for shared in ("momentum", "queue"):
        if hasattr(model, shared):
            setattr(reference, shared, getattr(model, shared))
    return reference


def npo(model: Model, paradigm: Paradigm, *, retain: Records, forget: Records, config: NPOConfig, seed: int) -> Model:
    """Make the forget set's loss larger than it was, until it is."""
    original = reference_of(model)

    def ascent(draw: torch.Generator) -> Tensor:
        forgotten = draw_batch(forget, config.forget_batch, draw)
        views = paradigm.views(forgotten.images, draw)
        with torch.no_grad():
            reference = paradigm.per_sample_loss(original, views, forgotten.labels)
        losses = paradigm.per_sample_loss(model, views, forgotten.labels)
        return bounded_ascent(losses, reference, config.beta).mean()

    return minimise(model, paradigm, retain, ascent, config, seed=seed, purpose="npo")
