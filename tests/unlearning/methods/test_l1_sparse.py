from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS, Paradigm
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig
from unlearning.methods.l1_sparse import L1SparseConfig, falling, l1_norm, l1_sparse


def config_of(epochs: int = 2, **changes: Any) -> L1SparseConfig:
    optimisation = OptimisationConfig(epochs=epochs, batch_size=10, optimiser="sgd", momentum=0, learning_rate=0.1)
    return L1SparseConfig(**({"optimisation": optimisation} | changes))


@pytest.mark.parametrize(("active", "expected"), [(1.0, [1, 0.75, 0.5, 0.25, 0, 0]), (0.5, [1, 0.5, 0, 0, 0, 0])])
def test_the_pressure_falls_evenly_to_nothing(active: float, expected: list[float]) -> None:
    """Two epochs of two steps."""
    found = itertools.islice(falling(20, config_of(active=active)), 6)
    assert list(found) == pytest.approx(expected)


def test_the_norm_is_over_what_is_trained_and_not_over_its_slow_copy(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model]
) -> None:
    for name, paradigm in every_paradigm.items():
        model = build_model(paradigm)
        trained = [model.backbone, model.head, *([model.predictor] if name == "byol" else [])]
        expected = sum(
            abs(value) for part in trained for each in part.parameters() for value in each.flatten().tolist()
        )
        assert l1_norm(model).item() == pytest.approx(expected, rel=1e-4)


def test_each_step_follows_the_retain_sets_slope_and_the_signs_of_the_weights(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    """Two epochs of one step each: the second has half the pressure."""
    retain, model = noise(10), build_model(supervised)
    twin = model.clone().train()
    for pressure in (1.0, 0.5):
        views = supervised.views(retain.images, torch.Generator())
        weights = list(twin.parameters())
        slopes = torch.autograd.grad(supervised.per_sample_loss(twin, views, retain.labels).mean(), weights)
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                weight.sub_(0.1 * (slope + 0.03 * pressure * weight.sign()))
    l1_sparse(model, supervised, retain=retain, config=config_of(weight=0.03), seed=0)
    for found, expected in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", PARADIGMS)
def test_weights_end_smaller_than_finetuning_leaves_them(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], noise: Callable[..., Records], name: str
) -> None:
    for seed in range(3):
        sparse, plain = (build_model(every_paradigm[name], seed) for _ in range(2))
        for model, weight in ((sparse, 0.01), (plain, 1e-12)):
            config = config_of(epochs=5, weight=weight)
            l1_sparse(model, every_paradigm[name], retain=noise(20, seed), config=config, seed=seed)
        assert l1_norm(sparse) < l1_norm(plain)
