"""Gradient matching: our first reading of Wang & Chen, 2405.07317.

With g(x) = ‖∂ℓ(x)/∂v‖₂ (see `input_gradients`), members have small g and non-members
large g. Both stages keep training on the retain set and lift g of the forget set
to where it would be had the model not been trained on those records:

    L(θ) = mean over retain of ℓ(x; θ)  +  λ · D( log g(forget; θ), target )²  +  δ · drift(θ)

    stage 1  (MEMtrain + member and non-member gradients)  target = log g(calibration; θ), detached
    stage 2  (MEMtrain + MEMGP, member gradients only)     target = τ, fixed before unlearning

D compares the batch's mean, or its sorted values quantile by quantile. g is measured in evaluation
mode, so a record's own gradient is its own, while batch norm goes on learning from the retain set
alone. Two additions of ours keep accuracy: `drift` holds the retain set's features where they were,
and the last steps may do without the penalty (λ = 0), so that a falling learning rate repairs what
it broke.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from unlearning.core.errors import UserError
from unlearning.data.records import Records
from unlearning.learning.input_gradients import input_gradient_norms
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.methods.distribution_distance import Match, distance
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise


class GradientMatchingConfig(UnlearningConfig):
    """Settings of both stages."""

    match: Match = Field("mean", description="Compare batch means, or sorted values one by one.")
    tolerance: float | None = Field(
        None,
        description="Let the penalty rest once mean log g of the forget set is no further below its target; "
        "never, if unset.",
    )
    rest: int = Field(3, gt=0, description="Steps that the penalty rests.")


class PenaltySchedule:
    """When the penalty is active: not while the forget set's gradients are where they should be.

    Every step with the penalty tells how far mean log g of the forget batch still is below its
    target. Once that is within the tolerance the penalty is left out for `rest` steps, then
    looked at again: it neither goes on forgetting what is forgotten, nor misses that retained
    records bring it back, and it saves the second differentiation.
    """

    def __init__(self, config: GradientMatchingConfig) -> None:
        self.config = config
        self._left = 0

    def active(self) -> bool:
        """Whether this step has the penalty; counts down."""
        self._left -= 1
        return self._left < 0

    def update(self, log_norms: Tensor, target: Tensor) -> None:
        """Decide about the next steps from what this one measured."""
        tolerance = self.config.tolerance
        if tolerance is not None and float(target.mean() - log_norms.detach().mean()) <= tolerance:
            self._left = self.config.rest


def stage_1(
    model: Model,
    paradigm: Paradigm,
    *,
    retain: Records,
    forget: Records,
    calibration: Records,
    config: GradientMatchingConfig,
    seed: int,
) -> Model:
    """Match the forget set's gradients to those of calibration non-members, measured as it goes."""

    schedule = PenaltySchedule(config)

    def penalty(draw: torch.Generator) -> Tensor | None:
        if not schedule.active():
            return None
        forgotten = draw_batch(forget, config.forget_batch, draw)
        unseen = draw_batch(calibration, len(forgotten), draw)
        members, nonmembers = paradigm.views(forgotten.images, draw), paradigm.views(unseen.images, draw)
        # Each is the other's context, so that both meet the same negatives.
        target = input_gradient_norms(model, paradigm, nonmembers, unseen.labels, context_records=members).log()
        norms = input_gradient_norms(
            model, paradigm, members, forgotten.labels, context_records=nonmembers, differentiable=True
        )
        schedule.update(norms.log(), target)
        return distance(norms.log(), target, config.match)

    return minimise(model, paradigm, retain, penalty, config, seed=seed, purpose="gradient_matching stage 1")


def stage_2(
    model: Model,
    paradigm: Paradigm,
    *,
    retain: Records,
    forget: Records,
    config: GradientMatchingConfig,
    seed: int,
) -> Model:
    """Lift the forget set's gradients to τ, which was measured when the model was trained.

    Raises:
        UserError: the model carries no τ.
    """
    if not model.spec.gradient_target:
        raise UserError("stage 2 needs the gradient target that pretraining stores with the model: pretrain it again")
    target = torch.tensor(model.spec.gradient_target, device=retain.images.device)

    schedule = PenaltySchedule(config)

    def penalty(draw: torch.Generator) -> Tensor | None:
        if not schedule.active():
            return None
        forgotten = draw_batch(forget, config.forget_batch, draw)
        # Members are the context, as when τ was measured: no non-member is needed.
        context_records = draw_batch(retain, len(forgotten), draw)
        views, others = paradigm.views(forgotten.images, draw), paradigm.views(context_records.images, draw)
        norms = input_gradient_norms(
            model, paradigm, views, forgotten.labels, context_records=others, differentiable=True
        )
        schedule.update(norms.log(), target)
        return distance(norms.log(), target, config.match)

    return minimise(model, paradigm, retain, penalty, config, seed=seed, purpose="gradient_matching stage 2")
