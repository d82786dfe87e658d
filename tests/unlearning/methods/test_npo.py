from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig
from unlearning.methods.npo import NPOConfig, bounded_ascent, npo, reference_of

LOSSES = torch.tensor([0.1, 2.0, 5.0, 0.7], dtype=torch.float64)
REFERENCE = torch.tensor([0.1, 0.5, 0.2, 3.0], dtype=torch.float64)


@pytest.mark.parametrize("beta", [0.1, 1.0, 7.0])
def test_the_term_is_the_papers_with_probabilities_written_out(beta: float) -> None:
    """−(2/β) log σ(−β log(π / π_ref)) with π = exp(−ℓ), one record after the other."""
    expected = []
    for loss, reference in zip(LOSSES.tolist(), REFERENCE.tolist(), strict=True):
        ratio = math.exp(-loss) / math.exp(-reference)
        expected.append(-2 / beta * math.log(1 / (1 + math.exp(beta * math.log(ratio)))))
    torch.testing.assert_close(bounded_ascent(LOSSES, REFERENCE, beta), torch.tensor(expected, dtype=torch.float64))


@given(loss=st.floats(0, 200), reference=st.floats(0, 200), beta=st.floats(0.01, 10))
def test_the_term_is_bounded_below_and_falls_with_the_loss(loss: float, reference: float, beta: float) -> None:
    values = bounded_ascent(torch.tensor([loss, loss + 0.5]).double(), torch.tensor(reference).double(), beta)
    assert values[1] >= 0
    assert values[0] >= values[1]


def test_for_small_beta_its_slope_is_that_of_gradient_ascent() -> None:
    """And its value is −ℓ, up to constants."""
    losses = LOSSES.clone().requires_grad_()
    term = bounded_ascent(losses, REFERENCE, 1e-6)
    (slope,) = torch.autograd.grad(term.sum(), losses)
    torch.testing.assert_close(slope, -torch.ones(4, dtype=torch.float64), rtol=1e-5, atol=0)
    torch.testing.assert_close(term - term[0], -(LOSSES - REFERENCE) + (LOSSES - REFERENCE)[0], rtol=1e-4, atol=1e-4)


def test_a_record_whose_loss_has_grown_far_is_let_go() -> None:
    losses = torch.tensor([0.0, 10.0, 40.0], requires_grad=True)
    (slope,) = torch.autograd.grad(bounded_ascent(losses, torch.zeros(3), 1.0).sum(), losses)
    torch.testing.assert_close(slope, torch.tensor([-1.0, -2 / (1 + math.exp(10)), -2 / (1 + math.exp(40))]))


@pytest.mark.parametrize("beta", [1e-6, 3.0])
def test_one_step_is_that_of_gradient_ascent_with_each_record_weighed_by_how_far_its_loss_has_grown(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records], beta: float
) -> None:
    """Losses differ from the original's at once, since learning the retain set moves batch-norm statistics."""
    retain, forget, model = noise(8), noise(6, 1), build_model(supervised).eval()
    original, twin = model.clone(), model.clone().train()
    views = [supervised.views(part.images, torch.Generator()) for part in (retain, forget)]
    retaining = supervised.per_sample_loss(twin, views[0], retain.labels).mean()
    twin.eval()  # with the statistics that retaining left
    losses = supervised.per_sample_loss(twin, views[1], forget.labels)
    grown = (losses - supervised.per_sample_loss(original, views[1], forget.labels)).detach()
    weights = 2 / (1 + (beta * grown).exp())
    slopes = torch.autograd.grad(retaining - 0.7 * (weights * losses).mean(), list(twin.parameters()))
    before = [weight.detach().clone() for weight in model.parameters()]
    optimisation = OptimisationConfig(epochs=1, batch_size=8, optimiser="sgd", momentum=0, learning_rate=0.1)
    config = NPOConfig(optimisation=optimisation, weight=0.7, beta=beta)
    npo(model, supervised, retain=retain, forget=forget, config=config, seed=0)
    for weight, old, slope in zip(model.parameters(), before, slopes, strict=True):
        torch.testing.assert_close(weight.detach(), old - 0.1 * slope, rtol=1e-3, atol=1e-5)


def test_both_models_choose_among_the_same_keys(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    """After a step of the model alone, queues and slow copies are one; the reference's weights are what they were."""
    moco = every_paradigm["moco"]
    model = build_model(moco).eval()
    before = [weight.detach().clone() for weight in model.backbone.parameters()]
    reference = reference_of(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1)
    moco.after_step(model, moco.views(noise(8).images, torch.Generator().manual_seed(0)))
    assert torch.equal(reference.queue, model.queue)
    assert all(
        torch.equal(one, other)
        for one, other in zip(reference.momentum.parameters(), model.momentum.parameters(), strict=True)
    )
    assert all(torch.equal(one, old) for one, old in zip(reference.backbone.parameters(), before, strict=True))
    assert not any(weight.requires_grad for weight in reference.parameters())
    assert all(weight.requires_grad for weight in model.backbone.parameters())


@pytest.mark.parametrize("name", ["simclr", "moco", "byol", "supervised"])
def test_the_forget_sets_loss_climbs_above_what_training_on_would_make_it(
    memorised: Callable[[str, int], Any], name: str
) -> None:
    climbs = []
    for seed in range(8):
        toy = memorised(name, seed)
        forget, retain = toy.members[:16], toy.members[16:]
        optimisation = OptimisationConfig(epochs=5, batch_size=32, learning_rate=0.001)
        found = []
        for weight in (1e-9, 1.0):
            model = toy.model.clone()
            config = NPOConfig(optimisation=optimisation, weight=weight)
            npo(model, toy.paradigm, retain=retain, forget=forget, config=config, seed=seed)
            found.append(mean_loss(model, toy.paradigm, forget))
        climbs.append(found[1] - found[0])
    assert np.mean(climbs) > 2 * np.std(climbs, ddof=1) / np.sqrt(8)


def mean_loss(model: Model, paradigm: Paradigm, records: Records) -> float:
    views = paradigm.views(records.images, torch.Generator().manual_seed(9))
    with torch.no_grad():
        losses: Tensor = paradigm.per_sample_loss(model, views, records.labels)
    return losses.mean().item()


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="beta"):
        NPOConfig(optimisation=OptimisationConfig(epochs=1), beta=0)
