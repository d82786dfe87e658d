"""g(x) against slow references in double precision: autograd record by record, and finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unlearning.data.records import Records
from unlearning.learning.input_gradients import (
    input_gradient_norms,
    losses_and_norms,
    measure_gradient_target,
    values_and_norms,
)
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.paradigms.simclr import SimCLR, nt_xent
from unlearning.learning.paradigms.supervised import Supervised

BuildModel = Callable[..., Model]


@pytest.fixture(params=["simclr", "supervised"])
def paradigm(request: pytest.FixtureRequest, simclr: SimCLR, supervised: Supervised) -> Paradigm:
    return simclr if request.param == "simclr" else supervised


@pytest.fixture
def model(paradigm: Paradigm, build_model: BuildModel) -> Model:
    """A double-precision model with uneven batch-norm statistics, small enough for finite differences."""
    model = build_model(paradigm, hidden=(6,), shape=(2, 2, 3)).double()
    pixels = torch.rand(64, 2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    model.train()(pixels)
    return model.eval()


@pytest.fixture
def views(paradigm: Paradigm) -> Tensor:
    count = 2 if paradigm.name == "simclr" else 1
    return torch.rand(count, 4, 2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(6))


LABELS = torch.tensor([0, 1, 1, 0])


def own_gradient(model: Model, paradigm: Paradigm, views: Tensor, record: int) -> Tensor:
    """Of one record's loss by its own views, with the other records detached."""
    own = views[:, record].clone().requires_grad_()
    together = torch.stack([own if row == record else views[:, row].detach() for row in range(views.shape[1])], dim=1)
    loss = paradigm.per_sample_loss(model, together, LABELS)[record]
    return torch.autograd.grad(loss, own)[0]


def finite_difference_norm(model: Model, paradigm: Paradigm, views: Tensor, record: int, step: float = 1e-6) -> float:
    """Every pixel of one record's views moved up and down, one at a time."""
    squares = 0.0
    for place in range(views[:, record].numel()):
        losses = []
        for sign in (1, -1):
            moved = views.clone()
            channel, row, column = np.unravel_index(place % 12, (2, 2, 3))
            moved[place // 12, record, channel, row, column] += sign * step
            losses.append(paradigm.per_sample_loss(model, moved, LABELS)[record].item())
        squares += ((losses[0] - losses[1]) / (2 * step)) ** 2
    return float(squares**0.5)


def test_norms_are_those_of_each_records_own_gradient(model: Model, paradigm: Paradigm, views: Tensor) -> None:
    expected = torch.stack([own_gradient(model, paradigm, views, record).norm() for record in range(4)])
    norms = input_gradient_norms(model, paradigm, views, LABELS)
    torch.testing.assert_close(norms, expected)
    assert norms.std() > 1e-3


def test_norms_are_those_of_central_finite_differences(model: Model, paradigm: Paradigm, views: Tensor) -> None:
    with torch.no_grad():
        expected = [finite_difference_norm(model, paradigm, views, record) for record in range(4)]
    norms = input_gradient_norms(model, paradigm, views, LABELS)
    torch.testing.assert_close(norms, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-8)


def test_norms_follow_their_records_when_the_batch_is_shuffled(model: Model, paradigm: Paradigm, views: Tensor) -> None:
    order = torch.tensor([2, 0, 3, 1])
    norms = input_gradient_norms(model, paradigm, views, LABELS)
    torch.testing.assert_close(input_gradient_norms(model, paradigm, views[:, order], LABELS[order]), norms[order])


def slow_log_norm(model: Model, context_records: Model, paradigm: Paradigm, views: Tensor, record: int) -> float:
    """log g of one record; in a contrastive loss the others' projections come from `context_records`."""
    if paradigm.name == "supervised":
        return float(own_gradient(model, paradigm, views, record).norm().log())
    own = views[:, record].clone().requires_grad_()
    first, second = (context_records(view).detach() for view in views)
    ones, others = (
        torch.where(torch.arange(4)[:, None] == record, model(own)[view], projections)
        for view, projections in enumerate((first, second))
    )
    loss = nt_xent(ones, others, temperature=0.5)[record]
    return float(torch.autograd.grad(loss, own)[0].norm().log())


def test_the_slope_of_log_g_by_the_weights_is_that_of_finite_differences(
    model: Model, paradigm: Paradigm, views: Tensor
) -> None:
    """Along a random direction of the weights, with the projections of a record's context held constant."""
    weights, draw = list(model.parameters()), torch.Generator().manual_seed(8)
    direction = [torch.randn(each.shape, generator=draw, dtype=torch.float64) for each in weights]
    log_norms = input_gradient_norms(model, paradigm, views, LABELS, differentiable=True).log()
    gradients = torch.autograd.grad(log_norms.sum(), weights, allow_unused=True)
    slope = sum((g * d).sum().item() for g, d in zip(gradients, direction, strict=True) if g is not None)
    context_records, step, values = model.clone(), 1e-6, []
    for sign in (1, -2):
        for weight, part in zip(weights, direction, strict=True):
            weight.data += sign * step * part
        values.append(sum(slow_log_norm(model, context_records, paradigm, views, record) for record in range(4)))
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)
    assert abs(slope) > 1e-3


def test_any_number_of_each_record_can_be_differentiated(views: Tensor) -> None:
    """The sum of squares of a record's pixels reacts to them with twice themselves."""
    before, scale = views.clone(), torch.tensor(3.0, dtype=torch.float64, requires_grad=True)

    def squares(pixels: Tensor) -> Tensor:
        return scale * pixels.square().sum(dim=(0, 2, 3, 4))

    values, norms = values_and_norms(squares, views, differentiable=True)
    lengths = views.square().sum(dim=(0, 2, 3, 4)).sqrt()
    torch.testing.assert_close(values, 3 * lengths**2)
    torch.testing.assert_close(norms, 6 * lengths)
    assert not values.requires_grad
    torch.testing.assert_close(torch.autograd.grad(norms.sum(), scale)[0], 2 * lengths.sum())
    assert not values_and_norms(squares, views)[1].requires_grad
    assert torch.equal(views, before)
    assert not views.requires_grad


def test_by_default_no_graph_is_kept(model: Model, paradigm: Paradigm, views: Tensor) -> None:
    assert not input_gradient_norms(model, paradigm, views, LABELS).requires_grad
    assert input_gradient_norms(model, paradigm, views, LABELS, differentiable=True).requires_grad


def test_measuring_leaves_views_weights_and_statistics_alone(model: Model, paradigm: Paradigm, views: Tensor) -> None:
    before, state = views.clone(), {name: value.clone() for name, value in model.state_dict().items()}
    input_gradient_norms(model, paradigm, views, LABELS)
    assert torch.equal(views, before)
    assert not views.requires_grad
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_a_record_without_any_slope_gives_finite_norms_and_finite_gradients(
    supervised: Supervised, build_model: BuildModel
) -> None:
    model = build_model(supervised).eval()
    nn.init.zeros_(next(model.head.parameters()))
    views = torch.rand(1, 4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    norms = input_gradient_norms(model, supervised, views, LABELS, differentiable=True)
    assert (norms >= 0).all()
    assert norms.max() < 1e-6
    gradients = torch.autograd.grad(norms.log().sum(), list(model.parameters()), allow_unused=True)
    found = [gradient for gradient in gradients if gradient is not None]
    assert found
    assert all(torch.isfinite(gradient).all() for gradient in found)


def test_the_losses_come_with_the_norms_and_are_the_paradigms_own(
    model: Model, paradigm: Paradigm, views: Tensor
) -> None:
    losses, norms = losses_and_norms(model, paradigm, views, LABELS)
    assert torch.equal(losses, paradigm.per_sample_loss(model, views, LABELS).detach())
    assert torch.equal(norms, input_gradient_norms(model, paradigm, views, LABELS))
    assert not losses.requires_grad


@pytest.mark.parametrize(("count", "batch_size", "expected"), [(8, 8, [4, 4]), (9, 8, [3, 3, 3]), (4, 16, [4])])
def test_the_target_is_measured_in_batches_of_which_half_are_members(
    build_model: BuildModel, simclr: SimCLR, count: int, batch_size: int, expected: list[int]
) -> None:
    """As stage 2 meets them: as many non-members as stage 2 has forgotten records, and as many members."""
    seen: list[tuple[int, int]] = []

    class Watched(SimCLR):
        def per_sample_loss(self, model: Model, views: Tensor, labels: Tensor, **given: Any) -> Tensor:
            seen.append((views.shape[1], given["context_records"].shape[1]))
            return super().per_sample_loss(model, views, labels, **given)

    paradigm = Watched(simclr.config)
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (40, 1, 4, 4), generator=draw).to(torch.uint8)
    records = Records(images, torch.zeros(40, dtype=torch.int64))
    measure_gradient_target(
        build_model(paradigm), paradigm, records[:count], records[count:], batch_size=batch_size, quantiles=3, seed=0
    )
    assert seen == [(size, size) for size in expected]
