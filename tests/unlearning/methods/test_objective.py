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
from unlearning.learning.training import OptimisationConfig, fit
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise, relative_drift

SEEDS = range(4)


def config_of(**changes: Any) -> UnlearningConfig:
    optimisation = OptimisationConfig(epochs=5, batch_size=8, learning_rate=0.01)
    return UnlearningConfig(**({"optimisation": optimisation} | changes))


def vector(model: Model) -> Tensor:
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach()


def statistics(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.named_buffers() if "running" in name}


def test_features_that_did_not_move_have_no_drift() -> None:
    assert relative_drift(torch.eye(3), torch.eye(3)).item() == 0


def test_the_drift_is_the_mean_relative_squared_distance() -> None:
    now, before = torch.randn(5, 3), torch.randn(5, 3)
    ratios = [
        np.sum((h - old) ** 2) / np.sum(old**2)
        for h, old in zip(now.double().numpy(), before.double().numpy(), strict=True)
    ]
    assert relative_drift(now, before).item() == pytest.approx(np.mean(ratios), rel=1e-4)


@pytest.mark.parametrize("name", PARADIGMS)
def test_without_forgetting_what_is_left_is_training_on(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], noise: Callable[..., Records], name: str
) -> None:
    """Batch-norm statistics included; only what follows a step sees the model as it is used."""
    paradigm, retain = every_paradigm[name], noise(16)
    model, expected = build_model(paradigm), build_model(paradigm)

    def loss(rows: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        views = paradigm.views(retain.images[rows], draw)
        return paradigm.per_sample_loss(expected.train(), views, retain.labels[rows]).mean(), views

    def after_step(model: Model, views: Tensor) -> None:
        paradigm.after_step(model.eval(), views)

    minimise(model, paradigm, retain, lambda draw: None, config_of(), seed=3, purpose="plain")
    fit(expected, loss, 16, config_of().optimisation, seed=3, purpose="plain", after_step=after_step)
    assert torch.equal(vector(model), vector(expected))
    assert not model.training
    for (key, value), (_, other) in zip(model.named_buffers(), expected.named_buffers(), strict=True):
        assert torch.equal(value, other), key


@pytest.mark.parametrize("name", PARADIGMS)
def test_statistics_learn_from_the_retain_set_and_never_from_what_the_forgetting_term_looks_at(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], noise: Callable[..., Records], name: str
) -> None:
    """A term that looks and weighs next to nothing: weights move as without it, and so must the statistics."""
    paradigm, retain = every_paradigm[name], noise(16)
    blind, looking = build_model(paradigm), build_model(paradigm)
    before = statistics(blind)
    looked: list[bool] = []

    def look(draw: torch.Generator) -> None:
        looked.append(looking.training)
        bright = torch.full_like(paradigm.views(retain.images, torch.Generator()), 50.0)
        paradigm.per_sample_loss(looking, bright, retain.labels).mean()

    minimise(blind, paradigm, retain, lambda draw: None, config_of(), seed=3, purpose="look")
    minimise(looking, paradigm, retain, look, config_of(), seed=3, purpose="look")
    assert looked == [False] * 10
    after = statistics(blind)
    assert after
    assert all(torch.equal(value, after[key]) for key, value in statistics(looking).items())
    assert not all(torch.equal(value, before[key]) for key, value in after.items())


@pytest.mark.parametrize(("share", "expected"), [(1.0, 10), (0.4, 4), (0.01, 1)])
def test_only_the_first_steps_carry_the_forgetting_term(
    supervised: Supervised,
    build_model: Callable[..., Model],
    noise: Callable[..., Records],
    share: float,
    expected: int,
) -> None:
    """Five epochs of two steps: with and without the term, in this order."""
    calls: list[torch.Generator] = []

    def term(draw: torch.Generator) -> Tensor:
        calls.append(draw)
        return torch.zeros(())

    minimise(build_model(supervised), supervised, noise(16), term, config_of(active=share), seed=0, purpose="count")
    assert len(calls) == expected


def test_the_term_counts_by_its_weight(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    """One step of plain descent moves by the sum of both slopes: the term's is its weight."""
    optimisation = OptimisationConfig(epochs=1, batch_size=16, optimiser="sgd", momentum=0, learning_rate=0.1)
    plain, pulled = build_model(supervised), build_model(supervised)
    for model, weight in ((plain, 1e-12), (pulled, 2.0)):
        config = config_of(optimisation=optimisation, weight=weight)
        minimise(model, supervised, noise(16), lambda draw, m=model: vector_sum(m), config, seed=0, purpose="one step")  # type: ignore[misc]
    moved = vector(pulled) - vector(plain)
    torch.testing.assert_close(moved, torch.full_like(moved, -0.1 * 2.0), rtol=1e-3, atol=1e-5)


def vector_sum(model: Model) -> Tensor:
    return torch.nn.utils.parameters_to_vector(model.parameters()).sum()


@pytest.mark.parametrize("name", PARADIGMS)
def test_distillation_keeps_features_closer_to_where_they_were(memorised: Callable[[str, int], Any], name: str) -> None:
    def drift(toy: Any, weight: float, seed: int) -> float:
        retain, model = toy.members[16:], toy.model.clone()
        pixels = toy.paradigm.views(retain.images, torch.Generator().manual_seed(seed))[0]

        def swell(draw: torch.Generator) -> Tensor:
            found: Tensor = -model.features(pixels).square().mean()
            return found

        minimise(model, toy.paradigm, retain, swell, config_of(distillation=weight), seed=seed, purpose="drift")
        with torch.no_grad():
            return relative_drift(model.features(pixels), toy.model.features(pixels)).item()

    toys = [memorised(name, seed) for seed in SEEDS]
    kept, free = ([drift(toy, weight, seed) for seed, toy in enumerate(toys)] for weight in (5.0, 0.0))
    assert np.mean(kept) < np.mean(free) / 2


def test_no_hook_is_left_behind(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    model = build_model(supervised)
    minimise(model, supervised, noise(8), lambda draw: None, config_of(), seed=0, purpose="hooks")
    assert not model.backbone._forward_hooks


@pytest.mark.parametrize(("size", "expected"), [(3, 3), (20, 8)])
def test_a_drawn_batch_repeats_no_record(noise: Callable[..., Records], size: int, expected: int) -> None:
    drawn = draw_batch(noise(8), size, torch.Generator().manual_seed(0))
    assert len(drawn) == expected
    assert len(torch.unique(drawn.images.flatten(1), dim=0)) == expected


@pytest.mark.parametrize(
    "wrong", [{"weight": 0}, {"forget_batch": 1}, {"active": 0}, {"active": 1.1}, {"distillation": -1}, {"lambda": 1}]
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        config_of(**wrong)
