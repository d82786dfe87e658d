from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from unlearning.data.records import Records
from unlearning.learning.encoders import MLPConfig
from unlearning.learning.models import Model
from unlearning.learning.paradigms import make_paradigm
from unlearning.learning.paradigms.simclr import SimCLR, SimCLRConfig, nt_xent

Array = npt.NDArray[np.float64]
BuildModel = Callable[..., Model]
MakeRecords = Callable[..., Records]

CASES = [(count, temperature) for count in (2, 3, 7) for temperature in (0.07, 0.5, 2.0)]


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / (math.sqrt(a @ a) * math.sqrt(b @ b)))


def slow_nt_xent(first: Array, second: Array, temperature: float) -> list[float]:
    """Equation 1 of Chen et al. 2020, one pair at a time."""
    count = len(first)
    views = [*first, *second]
    losses = []
    for record in range(count):
        total = 0.0
        for one, other in ((record, record + count), (record + count, record)):
            denominator = sum(
                math.exp(cosine(views[one], views[k]) / temperature) for k in range(2 * count) if k != one
            )
            total -= math.log(math.exp(cosine(views[one], views[other]) / temperature) / denominator)
        losses.append(total / 2)
    return losses


def projections(count: int, seed: int = 0, size: int = 5) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, count, size, generator=draw, dtype=torch.float64)
    return first, second


@pytest.mark.parametrize(("count", "temperature"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_nt_xent_is_the_equation_by_explicit_loops(count: int, temperature: float, seed: int) -> None:
    first, second = projections(count, seed)
    expected = slow_nt_xent(first.numpy(), second.numpy(), temperature)
    np.testing.assert_allclose(nt_xent(first, second, temperature).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize(("count", "temperature"), CASES)
def test_identical_orthonormal_views_have_a_closed_form(count: int, temperature: float) -> None:
    views = torch.eye(count, dtype=torch.float64)
    expected = math.log(math.exp(1 / temperature) + 2 * (count - 1)) - 1 / temperature
    np.testing.assert_allclose(nt_xent(views, views, temperature).numpy(), [expected] * count, atol=1e-12)


@pytest.mark.parametrize(("count", "temperature"), CASES)
def test_collapsed_views_cost_the_logarithm_of_the_candidates(count: int, temperature: float) -> None:
    views = torch.ones(count, 3, dtype=torch.float64)
    np.testing.assert_allclose(nt_xent(views, views, temperature).numpy(), [math.log(2 * count - 1)] * count)


def test_a_record_without_company_costs_nothing() -> None:
    loss = nt_xent(*projections(1), 0.5)
    np.testing.assert_allclose(loss.numpy(), [0], atol=1e-12)


def test_swapping_the_views_changes_nothing() -> None:
    first, second = projections(6)
    torch.testing.assert_close(nt_xent(first, second, 0.2), nt_xent(second, first, 0.2))


def test_losses_follow_their_records_when_the_batch_is_shuffled() -> None:
    first, second = projections(6)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    torch.testing.assert_close(nt_xent(first[order], second[order], 0.2), nt_xent(first, second, 0.2)[order])


def test_the_length_of_projections_does_not_matter() -> None:
    first, second = projections(4)
    lengths = torch.tensor([0.1, 1, 10, 100], dtype=torch.float64)[:, None]
    torch.testing.assert_close(nt_xent(first * lengths, second / lengths, 0.2), nt_xent(first, second, 0.2))


@pytest.mark.parametrize(("count", "temperature"), CASES)
def test_isolating_records_leaves_the_losses_as_they_are(count: int, temperature: float) -> None:
    first, second = projections(count)
    torch.testing.assert_close(
        nt_xent(first, second, temperature, isolate=True), nt_xent(first, second, temperature), rtol=1e-12, atol=0
    )


def own_gradient(first: Tensor, second: Tensor, record: int, temperature: float) -> Tensor:
    """Of one record's loss by its own two projections, all others detached one by one."""
    own = torch.stack([first[record], second[record]]).detach().requires_grad_()
    ones = [own[0] if row == record else first[row].detach() for row in range(len(first))]
    others = [own[1] if row == record else second[row].detach() for row in range(len(first))]
    loss = nt_xent(torch.stack(ones), torch.stack(others), temperature)[record]
    return torch.autograd.grad(loss, own)[0]


def gradient_of_sum(first: Tensor, second: Tensor, temperature: float, *, isolate: bool) -> Tensor:
    both = torch.stack([first, second]).requires_grad_()
    return torch.autograd.grad(nt_xent(both[0], both[1], temperature, isolate=isolate).sum(), both)[0]


@pytest.mark.parametrize(("count", "temperature"), CASES)
def test_isolated_the_gradient_of_the_sum_is_each_records_own(count: int, temperature: float) -> None:
    first, second = projections(count)
    expected = torch.stack([own_gradient(first, second, record, temperature) for record in range(count)], dim=1)
    torch.testing.assert_close(gradient_of_sum(first, second, temperature, isolate=True), expected)
    assert not torch.allclose(gradient_of_sum(first, second, temperature, isolate=False), expected)


def test_extreme_temperatures_stay_finite() -> None:
    first, second = (part.float() for part in projections(8))
    assert torch.isfinite(nt_xent(first, second, 1e-3)).all()
    np.testing.assert_allclose(nt_xent(first, second, 1e6).numpy(), [math.log(15)] * 8, rtol=1e-4)


def test_the_loss_of_a_model_is_that_of_its_projections(
    simclr: SimCLR, build_model: BuildModel, noise: MakeRecords
) -> None:
    model, records = build_model(simclr).eval(), noise(5)
    views = simclr.views(records.images, torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss = simclr.per_sample_loss(model, views, records.labels)
        first, second = (model(view).double().numpy() for view in views)
    np.testing.assert_allclose(loss.numpy(), slow_nt_xent(first, second, 0.5), rtol=1e-5)


def test_labels_are_not_used(simclr: SimCLR, build_model: BuildModel, noise: MakeRecords) -> None:
    model, records = build_model(simclr).eval(), noise(5)
    views = simclr.views(records.images, torch.Generator().manual_seed(0))
    losses = [simclr.per_sample_loss(model, views, labels) for labels in (records.labels, 1 - records.labels)]
    assert torch.equal(losses[0], losses[1])


def test_two_different_views_of_every_image_follow_from_the_generator(simclr: SimCLR, noise: MakeRecords) -> None:
    images = noise(5, shape=(3, 4, 4)).images
    views, again = (simclr.views(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert views.shape == (2, 5, 3, 4, 4)
    assert torch.equal(views, again)
    assert views.min() >= 0
    assert views.max() <= 1
    assert ((views[0] - views[1]).abs().amax(dim=(1, 2, 3)) > 1e-3).all()


def test_the_configured_projector_is_built(simclr: SimCLR) -> None:
    model = simclr.build(MLPConfig(hidden=(12,)), (1, 4, 4), ("a", "b"))
    assert model.spec.paradigm == "simclr"
    assert model.spec.head.hidden == (8,)
    assert model.eval()(torch.zeros(3, 1, 4, 4)).shape == (3, 6)


def test_there_is_nothing_beside_the_weights(
    simclr: SimCLR, build_model: BuildModel, noise: Callable[..., Records]
) -> None:
    model = build_model(simclr)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    simclr.after_step(model, torch.rand(2, 4, 1, 4, 4))
    simclr.rebuild_state(model, noise(4), torch.Generator())
    assert simclr.while_unlearning() is simclr
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_its_configuration_makes_it() -> None:
    config = SimCLRConfig(temperature=0.3)
    paradigm = make_paradigm(config)
    assert isinstance(paradigm, SimCLR)
    assert paradigm.config is config


@pytest.mark.parametrize("wrong", [{"temperature": 0}, {"projection": 0}, {"tau": 1}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SimCLRConfig.model_validate(wrong)
