from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from unlearning.core.seeding import initialisation
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS, Paradigm
from unlearning.learning.training import OptimisationConfig, train
from unlearning.methods.shrink_and_perturb import ShrinkAndPerturbConfig, shrink_and_perturb, shrunk


def config_of(**changes: Any) -> ShrinkAndPerturbConfig:
    optimisation = OptimisationConfig(epochs=2, batch_size=10, learning_rate=0.01)
    return ShrinkAndPerturbConfig(**({"optimisation": optimisation} | changes))


def fresh_weights(paradigm: Paradigm, model: Model, seed: int) -> dict[str, torch.Tensor]:
    with initialisation(seed, "shrink and perturb"):
        fresh = paradigm.build(model.spec.encoder, model.spec.image_shape, model.spec.class_names)
    return dict(fresh.named_parameters())


@pytest.mark.parametrize("name", PARADIGMS)
def test_every_trained_weight_moves_as_the_equation_says_and_no_other(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], name: str
) -> None:
    paradigm = every_paradigm[name]
    model = build_model(paradigm)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    moved = shrunk(model, paradigm, config_of(keep=0.25, noise=0.5), seed=3)
    fresh = fresh_weights(paradigm, model, 3)
    trained = {key for key, value in moved.named_parameters() if value.requires_grad}
    for key, value in moved.state_dict().items():
        expected = 0.25 * before[key] + 0.5 * fresh[key] if key in trained else before[key]
        torch.testing.assert_close(value, expected)


def test_the_seed_decides_the_fresh_weights(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model]
) -> None:
    paradigm = every_paradigm["simclr"]
    first, again, other = (
        shrunk(build_model(paradigm), paradigm, config_of(), seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert not all(torch.equal(value, other[key]) for key, value in first.items())


@pytest.mark.parametrize("name", PARADIGMS)
def test_nothing_of_the_original_is_in_what_keeps_nothing(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], noise: Callable[..., Records], name: str
) -> None:
    """Two originals end alike; with a share kept they do not."""
    paradigm, retain = every_paradigm[name], noise(20)

    def made(seed_of_original: int, keep: float) -> dict[str, torch.Tensor]:
        model = shrink_and_perturb(
            build_model(paradigm, seed_of_original), paradigm, retain=retain, config=config_of(keep=keep), seed=5
        )
        return {key: value for key, value in model.state_dict().items() if "running" not in key}

    one, other = made(0, 0.0), made(1, 0.0)
    assert all(torch.allclose(value, other[key], atol=1e-6) for key, value in one.items())
    kept = made(0, 0.5), made(1, 0.5)
    assert not all(torch.allclose(value, kept[1][key], atol=1e-3) for key, value in kept[0].items())


def test_after_the_move_it_is_plain_training_on_the_retain_set(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    paradigm, retain, config = every_paradigm["supervised"], noise(20), config_of()
    found = shrink_and_perturb(build_model(paradigm), paradigm, retain=retain, config=config, seed=2)
    start = shrunk(build_model(paradigm), paradigm, config, 2)
    expected = train(start, paradigm, retain, config.optimisation, seed=2, purpose="shrink and perturb")
    assert all(torch.equal(value, expected.state_dict()[key]) for key, value in found.state_dict().items())


@pytest.mark.parametrize("wrong", [{"keep": 1.0}, {"keep": -0.1}, {"noise": 0.0}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        config_of(**wrong)
