from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS, Paradigm
from unlearning.methods.teaching import divergence, divergence_from, log_answers

TEMPERATURE = 0.3


@pytest.fixture
def views() -> Tensor:
    return torch.rand(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(4))


def slow_answers(model: Model, name: str, views: Tensor) -> list[list[float]]:
    """Softmax of logits, or of the cosines with every other view, one view after the other."""
    with torch.no_grad():
        outputs = [model(view[None])[0].double().numpy() for view in views.flatten(0, 1)]
    found = []
    for place, own in enumerate(outputs):
        if name == "supervised":
            scores = own
        else:
            others = [each for at, each in enumerate(outputs) if at != place]
            scores = np.array([own @ each / np.linalg.norm(own) / np.linalg.norm(each) for each in others])
        weights = np.exp(scores / TEMPERATURE)
        found.append((weights / weights.sum()).tolist())
    return found


@pytest.mark.parametrize("name", PARADIGMS)
def test_answers_are_the_softmax_of_logits_or_of_cosines_with_all_other_views(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], views: Tensor, name: str
) -> None:
    model = build_model(every_paradigm[name]).eval()
    found = log_answers(model, every_paradigm[name], views, TEMPERATURE).exp().double()
    torch.testing.assert_close(
        found, torch.tensor(slow_answers(model, name, views), dtype=torch.float64), rtol=1e-4, atol=1e-6
    )


def test_the_divergence_is_that_of_the_answers_from_what_was_taught() -> None:
    draw = torch.Generator().manual_seed(0)
    answers, taught = (torch.randn(4, 5, generator=draw, dtype=torch.float64).log_softmax(dim=1) for _ in range(2))
    expected = [
        sum(np.exp(t) * (t - a) for a, t in zip(one, other, strict=True))
        for one, other in zip(answers.tolist(), taught.tolist(), strict=True)
    ]
    torch.testing.assert_close(divergence(answers, taught), torch.tensor(expected, dtype=torch.float64))
    assert (divergence(answers, taught) > 0).all()
    assert (divergence(answers, answers) == 0).all()


@pytest.mark.parametrize("name", PARADIGMS)
def test_a_model_does_not_differ_from_itself_and_has_no_slope_there(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], views: Tensor, name: str
) -> None:
    paradigm = every_paradigm[name]
    model, other = build_model(paradigm).eval(), build_model(paradigm, 1).eval()
    same = divergence_from(model.clone(), model, paradigm, views, TEMPERATURE)
    assert same.item() == pytest.approx(0, abs=1e-6)
    slopes = torch.autograd.grad(same, list(model.head.parameters()), allow_unused=True)
    assert all(slope is None or slope.abs().max() < 1e-5 for slope in slopes)
    apart = divergence_from(other, model, paradigm, views, TEMPERATURE)
    assert apart.item() > 1e-3
    apart.backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is None for weight in other.parameters())
    assert any(weight.grad is not None and weight.grad.abs().max() > 0 for weight in model.parameters())
