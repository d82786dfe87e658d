from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from unlearning.data.records import Records, concatenate
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS, Paradigm
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig
from unlearning.methods.distribution_distance import Match
from unlearning.methods.loss_matching import LossMatchingConfig, loss_matching


def config_of(match: Match = "mean") -> LossMatchingConfig:
    optimisation = OptimisationConfig(epochs=30, batch_size=32, learning_rate=0.003)
    return LossMatchingConfig(optimisation=optimisation, match=match, forget_batch=16)


def mean_log_losses(model: Model, paradigm: Paradigm, *groups: Records) -> list[float]:
    records, draw = concatenate(*groups), torch.Generator().manual_seed(123)
    with torch.no_grad():
        measured = torch.stack(
            [
                paradigm.per_sample_loss(model, paradigm.views(records.images, draw), records.labels)
                .clamp_min(1e-8)
                .log()
                for _ in range(4)
            ]
        ).mean(dim=0)
    return [part.mean().item() for part in torch.split(measured, [len(group) for group in groups])]


@pytest.mark.parametrize("match", ["mean", "quantiles"])
@pytest.mark.parametrize("name", PARADIGMS)
def test_forgotten_losses_become_those_of_non_members(
    memorised: Callable[[str, int], Any], name: str, match: Match
) -> None:
    """From below, and for MoCo from above: there a member's own keys wait among the negatives."""
    before, after = [], []
    for seed in range(4):
        toy = memorised(name, seed)
        forget, retain = toy.members[:16], toy.members[16:]
        calibration, holdout = toy.strangers[:24], toy.strangers[24:]
        model = toy.model.clone()
        forgotten, strange = mean_log_losses(model, toy.paradigm, forget, holdout)
        before.append(strange - forgotten)
        loss_matching(
            model, toy.paradigm, retain=retain, forget=forget, calibration=calibration, config=config_of(match),
            seed=seed,
        )  # fmt: skip
        forgotten, strange = mean_log_losses(model, toy.paradigm, forget, holdout)
        after.append(strange - forgotten)
    assert min(map(abs, before)) > 0.1
    assert abs(np.mean(after)) < 0.5 * abs(np.mean(before))


def test_a_loss_of_0_is_no_reason_for_nan(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    model = build_model(supervised).eval()
    with torch.no_grad():
        weight, bias = model.head.parameters()
        weight.zero_()
        bias.copy_(torch.tensor([200.0, 0.0]))
    records = noise(8)
    sure = Records(records.images, torch.zeros(8, dtype=torch.int64))
    found = loss_matching(
        model, supervised, retain=records, forget=sure, calibration=records, config=config_of(), seed=0
    )
    assert torch.isfinite(torch.nn.utils.parameters_to_vector(found.parameters())).all()
