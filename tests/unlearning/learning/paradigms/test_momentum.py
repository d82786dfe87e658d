from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.paradigms.momentum import catch_up, follow

BuildModel = Callable[..., Model]


@pytest.fixture(params=["moco", "byol"])
def model(request: pytest.FixtureRequest, every_paradigm: dict[str, Paradigm], build_model: BuildModel) -> Model:
    return build_model(every_paradigm[request.param])


def online(model: Model) -> torch.nn.Module:
    return torch.nn.Sequential(model.backbone, model.head)


def shift(model: Model, by: float) -> None:
    with torch.no_grad():
        for value in model.backbone.state_dict().values():
            value.copy_(value + by)


def test_the_copy_begins_as_the_model_itself(model: Model) -> None:
    for key, value in online(model).state_dict().items():
        assert torch.equal(model.momentum.state_dict()[key], value)


def test_no_gradient_and_no_optimiser_step_reaches_the_copy(model: Model) -> None:
    assert not any(weight.requires_grad for weight in model.momentum.parameters())
    before = [weight.clone() for weight in model.momentum.parameters()]
    optimiser = torch.optim.Adam(model.parameters(), 0.1, weight_decay=0.1)
    model(torch.rand(4, 1, 4, 4)).sum().backward()
    optimiser.step()
    assert all(torch.equal(weight, old) for weight, old in zip(model.momentum.parameters(), before, strict=True))


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("steps", [1, 7])
def test_after_n_steps_the_copy_has_gone_1_minus_m_to_the_n_of_the_way(
    model: Model, momentum: float, steps: int
) -> None:
    start = [weight.clone() for weight in model.momentum.parameters()]
    shift(model, 1.0)
    for _ in range(steps):
        follow(model, momentum)
    for slow, old, fast in zip(model.momentum.parameters(), start, online(model).parameters(), strict=True):
        torch.testing.assert_close(slow, old + (1 - momentum**steps) * (fast - old))


def test_following_leaves_the_statistics_of_the_copy_alone(model: Model) -> None:
    before = {name: value.clone() for name, value in model.momentum.named_buffers()}
    shift(model, 1.0)
    follow(model, 0.0)
    assert before
    assert all(torch.equal(value, before[name]) for name, value in model.momentum.named_buffers())


def test_catching_up_makes_copy_and_model_one(model: Model) -> None:
    shift(model, 1.0)
    catch_up(model)
    for key, value in online(model).state_dict().items():
        assert torch.equal(model.momentum.state_dict()[key], value)
    shift(model, 1.0)
    assert not torch.equal(next(model.momentum.parameters()), next(model.backbone.parameters()))
