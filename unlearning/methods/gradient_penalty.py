"""Unlearning with a gradient penalty: our reading of Wang & Chen, 2405.07317.

With g(x) = ‖∂ℓ(x)/∂v‖₂ (see `input_gradients`), members trained on have small g and records
never seen have large g. Both stages keep training on the retain set and lift g of the forget set
to where it would be had those records never been seen:

    L(θ) = mean over retain of ℓ(x; θ)  +  λ · D( log g(forget; θ), target )²  +  δ · drift(θ)

    stage 1  (MEMtrain + member and non-member gradients)  target = log g(calibration; θ), detached
    stage 2  (MEMtrain + MEMGP, member gradients only)     target = τ, fixed before unlearning

D compares the batch's mean, or its sorted values quantile by quantile. Batch-norm statistics stay
frozen, so a record's own gradient is its own. Two additions of ours keep accuracy: `drift` holds
the retain set's features where they were, and the last steps may do without the penalty (λ = 0),
so that a falling learning rate repairs what it broke.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from unlearning.config import Config
from unlearning.errors import UserError
from unlearning.input_gradients import input_gradient_norms
from unlearning.models import Model
from unlearning.paradigms import Paradigm
from unlearning.records import Records, concatenate
from unlearning.training import OptimisationConfig, fit


class GradientPenaltyConfig(Config):
    """Settings of both stages."""

    optimisation: OptimisationConfig
    penalty: float = Field(1.0, gt=0, description="λ: weight of the penalty.")
    match: Literal["mean", "quantiles"] = Field("mean", description="Compare batch means, or sorted values one by one.")
    forget_batch: int = Field(128, gt=1, description="Forget records per step.")
    distillation: float = Field(0.0, ge=0, description="δ: weight of keeping the retain set's features in place.")
    penalised: float = Field(1.0, gt=0, le=1, description="Share of the steps, the first ones, with the penalty.")


def distance(log_norms: Tensor, target: Tensor, match: str) -> Tensor:
    """D²: 0 when the statistics agree, larger the further apart they are.

    Args:
        log_norms: (B,) of the forget batch.
        target: (K,) values or quantiles that the forget batch should resemble.
        match: `mean` or `quantiles`.
    """
    if match == "mean":
        return (log_norms.mean() - target.mean()).square()
    return (log_norms.sort().values - _quantiles(target, len(log_norms))).square().mean()


def _quantiles(sample: Tensor, count: int) -> Tensor:
    """`count` values of a sample, at the levels (i + ½) / count.

    The k-th of K sorted values stands at level (k + ½) / K, so `count` = K gives the sample
    itself, sorted. Values between two are interpolated; beyond the ends they are the ends.
    """
    last = len(sample) - 1
    ranks = torch.arange(count, dtype=sample.dtype, device=sample.device)
    places = ((ranks + 0.5) * (len(sample) / count) - 0.5).clamp(0, last)
    below = places.floor().long()
    ordered = sample.sort().values
    return ordered[below].lerp(ordered[(below + 1).clamp(max=last)], places - below)


def feature_drift(model: Model, original: Model, views: Tensor) -> Tensor:
    """How far the backbone's features of retained records moved: mean of ‖h(v; θ) − h(v; θ₀)‖² / ‖h(v; θ₀)‖².

    0 when nothing moved. Not part of the paper: it keeps what a linear probe can read.
    """
    pixels = views.flatten(0, 1)
    with torch.no_grad():
        before = original.features(pixels)
    moved = (model.features(pixels) - before).square().sum(dim=1)
    return (moved / before.square().sum(dim=1).clamp_min(1e-12)).mean()


def _draw_batch(records: Records, size: int, draw: torch.Generator) -> Records:
    rows = torch.randperm(len(records), generator=draw, device=draw.device)[:size]
    return records[rows]


def _penalised_steps(count: int, config: GradientPenaltyConfig) -> Iterator[bool]:
    """For one step after the other: does it carry the penalty?"""
    steps = config.optimisation.epochs * math.ceil(count / config.optimisation.batch_size)
    return (step < config.penalised * steps for step in itertools.count())


def _log_norms(model: Model, paradigm: Paradigm, records: Records, draw: torch.Generator) -> Tensor:
    views = paradigm.views(records.images, draw)
    return input_gradient_norms(model, paradigm, views, records.labels, differentiable=True).log()


def _minimise(
    model: Model,
    paradigm: Paradigm,
    retain: Records,
    penalty: Callable[[torch.Generator], Tensor],
    config: GradientPenaltyConfig,
    *,
    seed: int,
    purpose: str,
) -> Model:
    """What both stages share: the retain set's loss, its features kept in place, and λ · D²."""
    model.eval()
    original = model.clone()
    penalised = _penalised_steps(len(retain), config)

    def batch_loss(rows: Tensor, draw: torch.Generator) -> Tensor:
        batch = retain[rows]
        views = paradigm.views(batch.images, draw)
        loss = paradigm.per_sample_loss(model, views, batch.labels).mean()
        if config.distillation > 0:
            loss = loss + config.distillation * feature_drift(model, original, views)
        if next(penalised):
            loss = loss + config.penalty * penalty(draw)
        return loss

    fit(model, batch_loss, len(retain), config.optimisation, seed=seed, purpose=purpose)
    return model


def stage_1(
    model: Model,
    paradigm: Paradigm,
    *,
    retain: Records,
    forget: Records,
    calibration: Records,
    config: GradientPenaltyConfig,
    seed: int,
) -> Model:
    """Match the forget set's gradients to those of calibration non-members, measured as it goes."""

    def penalty(draw: torch.Generator) -> Tensor:
        forgotten = _draw_batch(forget, config.forget_batch, draw)
        unseen = _draw_batch(calibration, len(forgotten), draw)
        # One batch for both, so that they meet the same negatives.
        log_norms = _log_norms(model, paradigm, concatenate(forgotten, unseen), draw)
        target = log_norms[len(forgotten) :].detach()
        return distance(log_norms[: len(forgotten)], target, config.match)

    return _minimise(model, paradigm, retain, penalty, config, seed=seed, purpose="gradient_penalty stage 1")


def stage_2(
    model: Model,
    paradigm: Paradigm,
    *,
    retain: Records,
    forget: Records,
    config: GradientPenaltyConfig,
    seed: int,
) -> Model:
    """Lift the forget set's gradients to τ, which was measured when the model was trained.

    Raises:
        UserError: the model carries no τ.
    """
    if not model.spec.gradient_target:
        raise UserError("stage 2 needs the gradient target that pretraining stores with the model: pretrain it again")
    target = torch.tensor(model.spec.gradient_target, device=retain.images.device)

    def penalty(draw: torch.Generator) -> Tensor:
        forgotten = _draw_batch(forget, config.forget_batch, draw)
        # Members keep them company, as when τ was measured: no non-member is needed.
        company = _draw_batch(retain, len(forgotten), draw)
        log_norms = _log_norms(model, paradigm, concatenate(forgotten, company), draw)
        return distance(log_norms[: len(forgotten)], target, config.match)

    return _minimise(model, paradigm, retain, penalty, config, seed=seed, purpose="gradient_penalty stage 2")
