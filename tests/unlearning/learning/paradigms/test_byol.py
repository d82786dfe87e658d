from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unlearning.data.records import Records
from unlearning.learning.encoders import MLPConfig
from unlearning.learning.models import Model
from unlearning.learning.paradigms import make_paradigm
from unlearning.learning.paradigms.byol import BYOL, BYOLConfig, prediction_error

BuildModel = Callable[..., Model]


def byol_of(**changes: Any) -> BYOL:
    settings = {"momentum": 0.9, "projector_hidden": (8,), "predictor_hidden": (5,), "projection": 6}
    return BYOL(BYOLConfig(**(settings | changes)))


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference(predictions: Tensor, targets: Tensor) -> list[float]:
    """The squared distance of the two unit vectors, one record after the other."""
    errors = []
    for p, z in zip(predictions.detach().double().numpy(), targets.double().numpy(), strict=True):
        errors.append(float(np.sum((p / np.linalg.norm(p) - z / np.linalg.norm(z)) ** 2)))
    return errors


def test_the_error_is_the_squared_distance_of_unit_vectors() -> None:
    predictions, targets = draws(5, 4), draws(5, 4, seed=1)
    assert prediction_error(predictions, targets).tolist() == pytest.approx(reference(predictions, targets), rel=1e-4)


@pytest.mark.parametrize(("target", "error"), [((2.0, 0.0), 0.0), ((0.0, 3.0), 2.0), ((-1.0, 0.0), 4.0)])
def test_the_error_goes_from_0_over_2_to_4(target: tuple[float, float], error: float) -> None:
    found = prediction_error(torch.tensor([[1.0, 0.0]]), torch.tensor([target]))
    assert found.item() == pytest.approx(error, abs=1e-6)


def test_lengths_do_not_matter() -> None:
    predictions, targets = draws(5, 4), draws(5, 4, seed=1)
    torch.testing.assert_close(prediction_error(7 * predictions, targets / 9), prediction_error(predictions, targets))


def test_each_view_predicts_what_the_slow_copy_says_of_the_other(build_model: BuildModel) -> None:
    byol, views = byol_of(), torch.rand(2, 5, 1, 4, 4)
    model = build_model(byol).eval()
    with torch.no_grad():
        next(model.momentum.parameters()).add_(0.3)
    there = reference(model.predictor(model(views[0])), model.momentum(views[1]))
    back = reference(model.predictor(model(views[1])), model.momentum(views[0]))
    found = byol.per_sample_loss(model, views, torch.zeros(5, dtype=torch.int64))
    assert found.tolist() == pytest.approx(np.mean([there, back], axis=0).tolist(), rel=1e-4)


def test_the_order_of_views_does_not_matter(build_model: BuildModel) -> None:
    byol, views, labels = byol_of(), torch.rand(2, 5, 1, 4, 4), torch.zeros(5, dtype=torch.int64)
    model = build_model(byol).eval()
    torch.testing.assert_close(
        byol.per_sample_loss(model, views, labels), byol.per_sample_loss(model, views.flip(0), labels)
    )


def test_no_gradient_goes_through_the_target(build_model: BuildModel) -> None:
    byol, views = byol_of(), torch.rand(2, 5, 1, 4, 4)
    model = build_model(byol).eval()
    byol.per_sample_loss(model, views, torch.zeros(5, dtype=torch.int64)).sum().backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is None for weight in model.momentum.parameters())
    trained = [*model.backbone.parameters(), *model.head.parameters(), *model.predictor.parameters()]
    assert all(weight.grad is not None for weight in trained)


def test_no_record_changes_another_ones_loss(build_model: BuildModel) -> None:
    byol, views, labels = byol_of(), torch.rand(2, 5, 1, 4, 4), torch.zeros(5, dtype=torch.int64)
    model = build_model(byol).eval()
    together = byol.per_sample_loss(model, views, labels, isolate=True, context_records=torch.rand(2, 3, 1, 4, 4))
    alone = [byol.per_sample_loss(model, views[:, row : row + 1], labels[:1]).item() for row in range(5)]
    assert together.tolist() == pytest.approx(alone, rel=1e-4, abs=1e-6)


def test_a_step_moves_the_target_towards_the_model(build_model: BuildModel) -> None:
    byol = byol_of(momentum=0.75)
    model = build_model(byol)
    start = next(model.momentum.parameters()).clone()
    with torch.no_grad():
        next(model.backbone.parameters()).add_(1.0)
    byol.after_step(model, torch.rand(2, 5, 1, 4, 4))
    torch.testing.assert_close(next(model.momentum.parameters()), start + 0.25)


def test_rebuilding_makes_the_target_the_model(build_model: BuildModel, noise: Callable[..., Records]) -> None:
    byol = byol_of()
    model = build_model(byol)
    with torch.no_grad():
        next(model.backbone.parameters()).add_(1.0)
    byol.rebuild_state(model, noise(4), torch.Generator())
    assert torch.equal(next(model.momentum.parameters()), next(model.backbone.parameters()))


def test_unlearning_moves_the_target_at_its_own_pace() -> None:
    byol = byol_of(unlearning_momentum=0.25)
    assert byol.while_unlearning().config == byol.config.model_copy(update={"momentum": 0.25})
    assert byol.config.momentum == 0.9


def test_the_configured_model_is_built(noise: Callable[..., Records]) -> None:
    byol = byol_of()
    model = byol.build(MLPConfig(hidden=(12,)), (1, 4, 4), ("a", "b")).eval()
    assert model.spec.paradigm == "byol"
    assert model.predictor(model(torch.zeros(3, 1, 4, 4))).shape == (3, 6)
    one, again = (byol.views(noise(5).images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert one.shape == (2, 5, 1, 4, 4)
    assert torch.equal(one, again)


def test_its_configuration_makes_it() -> None:
    paradigm = make_paradigm(BYOLConfig(momentum=0.3))
    assert isinstance(paradigm, BYOL)
    assert paradigm.config.momentum == 0.3


@pytest.mark.parametrize("wrong", [{"momentum": 1}, {"projection": 0}, {"unlearning_momentum": -1}, {"queue": 3}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BYOLConfig.model_validate(wrong)
