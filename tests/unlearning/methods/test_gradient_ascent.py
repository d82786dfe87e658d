from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS, Paradigm
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig
from unlearning.methods.gradient_ascent import GradientAscentConfig, gradient_ascent
from unlearning.methods.objective import minimise

SEEDS = 8


def config_of(weight: float = 1.0, **changes: Any) -> GradientAscentConfig:
    settings: dict[str, Any] = {"epochs": 5, "batch_size": 32, "learning_rate": 0.001} | changes
    return GradientAscentConfig(optimisation=OptimisationConfig(**settings), weight=weight)


def mean_loss(model: Model, paradigm: Paradigm, records: Records) -> float:
    views = paradigm.views(records.images, torch.Generator().manual_seed(9))
    with torch.no_grad():
        return paradigm.per_sample_loss(model, views, records.labels).mean().item()


@pytest.mark.parametrize("name", PARADIGMS)
def test_the_forget_sets_loss_climbs_above_what_training_on_would_make_it(
    memorised: Callable[[str, int], Any], name: str
) -> None:
    climbs = []
    for seed in range(SEEDS):
        toy = memorised(name, seed)
        forget, retain = toy.members[:16], toy.members[16:]
        plain, climbed = toy.model.clone(), toy.model.clone()
        minimise(plain, toy.paradigm, retain, lambda draw: None, config_of(), seed=seed, purpose="gradient_ascent")
        gradient_ascent(climbed, toy.paradigm, retain=retain, forget=forget, config=config_of(), seed=seed)
        climbs.append(mean_loss(climbed, toy.paradigm, forget) - mean_loss(plain, toy.paradigm, forget))
    assert np.mean(climbs) > 0
    assert np.mean(climbs) > 2 * np.std(climbs, ddof=1) / np.sqrt(SEEDS)


def test_one_step_is_down_the_retain_slope_and_up_the_forget_slope(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    retain, forget, model = noise(8), noise(6, 1), build_model(supervised).eval()
    weights, twin = list(model.parameters()), model.clone()
    before = torch.nn.utils.parameters_to_vector(weights).detach().clone()

    def slope(part: Records) -> Tensor:
        loss = supervised.per_sample_loss(twin, supervised.views(part.images, torch.Generator()), part.labels).mean()
        return torch.cat([found.flatten() for found in torch.autograd.grad(loss, list(twin.parameters()))])

    twin.train()
    down = slope(retain)
    twin.eval()  # with the statistics that retaining left
    up = slope(forget)
    config = config_of(0.7, epochs=1, optimiser="sgd", momentum=0, learning_rate=0.01)
    gradient_ascent(model, supervised, retain=retain, forget=forget, config=config, seed=0)
    moved = torch.nn.utils.parameters_to_vector(weights).detach() - before
    torch.testing.assert_close(moved, -0.01 * (down - 0.7 * up), rtol=1e-3, atol=1e-6)
