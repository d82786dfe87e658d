"""Loss matching: gradient matching without the gradient, as its ablation.

    L(θ) = mean over retain of ℓ(x; θ)  +  λ · D( log ℓ(forget; θ), log ℓ(calibration; θ) detached )²

Ours, after measurements that came close to gradient matching at half its cost: whatever the
penalty achieves beyond this, the gradient does.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.methods.distribution_distance import Match, distance
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise

SMALLEST_LOSS = 1e-8
"""A record that is fitted perfectly has loss 0, whose logarithm nothing could be matched to."""


class LossMatchingConfig(UnlearningConfig):
    """Settings of loss matching."""

    match: Match = Field("mean", description="Compare batch means, or sorted values one by one.")


def loss_matching(
    model: Model,
    paradigm: Paradigm,
    *,
    retain: Records,
    forget: Records,
    calibration: Records,
    config: LossMatchingConfig,
    seed: int,
) -> Model:
    """Match the forget set's losses to those of calibration non-members, measured as it goes."""

    def mismatch(draw: torch.Generator) -> Tensor:
        forgotten = draw_batch(forget, config.forget_batch, draw)
        unseen = draw_batch(calibration, len(forgotten), draw)
        members, non_members = paradigm.views(forgotten.images, draw), paradigm.views(unseen.images, draw)
        with torch.no_grad():
            target = paradigm.per_sample_loss(model, non_members, unseen.labels, context_records=members)
        losses = paradigm.per_sample_loss(model, members, forgotten.labels, context_records=non_members)
        return distance(losses.clamp_min(SMALLEST_LOSS).log(), target.clamp_min(SMALLEST_LOSS).log(), config.match)

    return minimise(model, paradigm, retain, mismatch, config, seed=seed, purpose="loss_matching")
