from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from unlearning.config import Config
from unlearning.methods import METHODS, Method
from unlearning.methods.gradient_penalty import GradientPenaltyConfig
from unlearning.models import Model
from unlearning.paradigms import Paradigm
from unlearning.paradigms.supervised import Supervised
from unlearning.records import Records
from unlearning.training import OptimisationConfig

OFFERED = ("forget", "calibration")
SUBSETS = [frozenset(subset) for subset in ((), ("forget",), ("calibration",), OFFERED)]


@dataclass
class Spy:
    """A method that keeps what it was handed, and ruins the model."""

    given: dict[str, Any] = field(default_factory=dict)

    def __call__(self, model: Model, paradigm: Paradigm, **given: Any) -> Model:
        self.given = given | {"model": model, "paradigm": paradigm}
        for value in model.state_dict().values():
            value.fill_(7)
        return model.train()


@pytest.fixture
def parts(noise: Callable[..., Records]) -> dict[str, Records]:
    return {"retain": noise(20, 0), "forget": noise(8, 1), "calibration": noise(8, 2)}


@pytest.fixture
def model(supervised: Supervised, build_model: Callable[..., Model]) -> Model:
    model = build_model(supervised).eval()
    model.spec = model.spec.model_copy(update={"gradient_target": (1.0,)})
    return model


def state_of(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def config_for(method: Method) -> Config:
    optimisation = OptimisationConfig(epochs=2, batch_size=10, learning_rate=0.05)
    return GradientPenaltyConfig(optimisation=optimisation) if method.config is GradientPenaltyConfig else optimisation


@pytest.mark.parametrize("sees", SUBSETS, ids=lambda sees: "+".join(sorted(sees)) or "nothing")
def test_a_method_is_handed_the_retain_set_and_what_it_may_see_and_nothing_else(
    model: Model, supervised: Supervised, parts: dict[str, Records], sees: frozenset[str]
) -> None:
    spy, config = Spy(), Config()
    Method("spy", Config, spy, sees)(model, supervised, **parts, config=config, seed=3)
    assert spy.given.keys() == {"model", "paradigm", "retain", "config", "seed"} | sees
    assert all(spy.given[part] is parts[part] for part in {"retain"} | sees)
    assert spy.given["paradigm"] is supervised
    assert spy.given["config"] is config
    assert spy.given["seed"] == 3


def test_a_method_works_on_a_copy_and_its_result_is_handed_on(
    model: Model, supervised: Supervised, parts: dict[str, Records]
) -> None:
    spy, before = Spy(), state_of(model)
    result = Method("spy", Config, spy, frozenset())(model, supervised, **parts, config=Config(), seed=0)
    assert result is spy.given["model"]
    assert result is not model
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", METHODS)
def test_no_method_changes_the_model_it_is_given(
    model: Model, supervised: Supervised, parts: dict[str, Records], name: str
) -> None:
    method, before = METHODS[name], state_of(model)
    result = method(model, supervised, **parts, config=config_for(method), seed=0)
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert any(not torch.equal(result.state_dict()[key], value) for key, value in before.items())
    assert not model.training
    assert not result.training


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_result_and_another_does_not(
    model: Model, supervised: Supervised, parts: dict[str, Records], name: str
) -> None:
    method = METHODS[name]
    first, again, other = (
        torch.nn.utils.parameters_to_vector(
            method(model, supervised, **parts, config=config_for(method), seed=seed).parameters()
        )
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_asks_for_exactly_what_it_may_see(name: str) -> None:
    parameters = inspect.signature(METHODS[name].run).parameters
    assert {part for part in OFFERED if part in parameters} == METHODS[name].sees
    assert METHODS[name].name == name


def test_only_stage_1_ever_sees_non_members() -> None:
    assert [name for name, method in METHODS.items() if "calibration" in method.sees] == ["gradient_penalty"]
