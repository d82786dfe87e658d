"""Penalised norms against autograd in double precision, one pair of records after the other, and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.unlearning.methods.untouchable import Untouchable
from unlearning.core.errors import UserError
from unlearning.data.records import Records
from unlearning.learning.input_gradients import input_gradient_norms
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS, Paradigm
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig, train
from unlearning.methods.gradient_penalty import (
    Differentiated,
    GradientNorms,
    GradientPenaltyConfig,
    gradient_penalty,
    mixed,
)
from unlearning.methods.objective import minimise

EVERY_FUNCTION: list[tuple[str, Differentiated]] = [
    (name, of)
    for name in PARADIGMS
    for of in ("loss", "embedding", "log_probability" if name == "supervised" else "similarity")
]
LABELS, OTHERS = torch.tensor([0, 1, 1, 0]), torch.tensor([1, 1, 0, 0])
EPSILON = torch.tensor([0.0, 0.3, 0.8, 1.0], dtype=torch.float64)


def config_of(**changes: Any) -> GradientPenaltyConfig:
    optimisation = OptimisationConfig(epochs=3, batch_size=8, learning_rate=0.01)
    return GradientPenaltyConfig(**({"optimisation": optimisation, "forget_batch": 8} | changes))


def views_of(name: str, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(1 if name == "supervised" else 2, 4, 2, 2, 3, dtype=torch.float64, generator=draw)


@pytest.fixture
def models(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model]
) -> Callable[[str], tuple[Paradigm, Model]]:
    """A double-precision model with uneven batch-norm statistics."""

    def make(name: str) -> tuple[Paradigm, Model]:
        model = build_model(every_paradigm[name], hidden=(6,), shape=(2, 2, 3)).double()
        pixels = torch.rand(64, 2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
        model.train()(pixels)
        return every_paradigm[name], model.eval()

    return make


def slow_norm(
    paradigm: Paradigm, model: Model, of: Differentiated, points: Tensor, record: int, share: float
) -> Tensor:
    """Of one record's own number by its own point, the other points detached; `share` is its ε."""
    own = points[:, record].detach().clone().requires_grad_()
    together = torch.stack([own if row == record else points[:, row].detach() for row in range(4)], dim=1)
    outputs = model(own)
    match of:
        case "loss":
            towards, away = (paradigm.per_sample_loss(model, together, each)[record] for each in (LABELS, OTHERS))
            value = share * towards + (1 - share) * away
        case "embedding":
            value = outputs.sum()
        case "similarity":
            value = (outputs[0] @ outputs[1]) / outputs[0].norm() / outputs[1].norm()
        case _:
            value = outputs[0].softmax(dim=0).max().log()
    return torch.autograd.grad(value, own, create_graph=True)[0].square().sum().sqrt()


@pytest.mark.parametrize(("name", "of"), EVERY_FUNCTION)
def test_norms_between_records_are_those_of_a_loop_over_them_and_so_are_their_slopes(
    models: Callable[[str], tuple[Paradigm, Model]], name: str, of: Differentiated
) -> None:
    paradigm, model = models(name)
    members, others = views_of(name, 6), views_of(name, 7)
    found = GradientNorms(model, paradigm, of).between(members, others, LABELS, OTHERS, EPSILON)
    points = torch.stack(
        [share * members[:, row] + (1 - share) * others[:, row] for row, share in enumerate(EPSILON)], dim=1
    )
    expected = torch.stack([slow_norm(paradigm, model, of, points, row, float(EPSILON[row])) for row in range(4)])
    torch.testing.assert_close(found, expected)
    assert found.std() > 1e-4
    weights = list(model.backbone.parameters())
    pairs = (
        torch.autograd.grad((norms - 1).square().mean(), weights, allow_unused=True) for norms in (found, expected)
    )
    if (name, of) == ("simclr", "loss"):
        return  # in the loop the others' weights are not constants
    for one, other in zip(*pairs, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other)


class Linear(nn.Module):
    """z = W x, for one view."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1) @ self.weight.T


def test_a_linear_models_norms_have_a_closed_form(supervised: Supervised) -> None:
    """Of the summed output ‖Σ W_c‖ everywhere; of the confidence ‖W_k − Σ p_c W_c‖, k the likeliest class."""
    draw = torch.Generator().manual_seed(3)
    weight = torch.randn(3, 12, dtype=torch.float64, generator=draw)
    linear: Any = Linear(weight)
    members, others = views_of("supervised", 6), views_of("supervised", 7)
    points = mixed(members, others, EPSILON)[0].flatten(1)
    summed = GradientNorms(linear, supervised, "embedding").between(members, others, LABELS, OTHERS, EPSILON)
    torch.testing.assert_close(summed, weight.sum(dim=0).norm().expand(4))
    probabilities = (points @ weight.T).softmax(dim=1)
    likeliest = probabilities.argmax(dim=1)
    confidence = GradientNorms(linear, supervised, "log_probability").between(members, others, LABELS, OTHERS, EPSILON)
    torch.testing.assert_close(confidence, (weight[likeliest] - probabilities @ weight).norm(dim=1))
    # Of the mixed loss: by how much the mean of both classes' rows differs from that of all.
    wanted = EPSILON[:, None] * weight[LABELS] + (1 - EPSILON[:, None]) * weight[OTHERS]
    loss = GradientNorms(linear, supervised, "loss").between(members, others, LABELS, OTHERS, EPSILON)
    torch.testing.assert_close(loss, (wanted - probabilities @ weight).norm(dim=1))


@pytest.mark.parametrize(("name", "of"), EVERY_FUNCTION)
def test_at_the_ends_a_point_is_the_members_or_the_non_members(
    models: Callable[[str], tuple[Paradigm, Model]], name: str, of: Differentiated
) -> None:
    paradigm, model = models(name)
    members, others = views_of(name, 6), views_of(name, 7)
    norms = GradientNorms(model, paradigm, of)
    for epsilon, views, labels in ((1.0, members, LABELS), (0.0, others, OTHERS)):
        ends = torch.full((4,), epsilon, dtype=torch.float64)
        assert torch.equal(mixed(members, others, ends), views)
        found = norms.between(members, others, LABELS, OTHERS, ends)
        torch.testing.assert_close(found.detach(), norms.at(views, labels, differentiable=False))
    middle = mixed(members, others, torch.full((4,), 0.5, dtype=torch.float64))
    torch.testing.assert_close(middle, (members + others) / 2)


@pytest.mark.parametrize("name", PARADIGMS)
def test_the_norm_of_the_loss_is_the_gradient_that_stage_1_matches(
    models: Callable[[str], tuple[Paradigm, Model]], name: str
) -> None:
    paradigm, model = models(name)
    views = views_of(name, 6)
    found = GradientNorms(model, paradigm, "loss").at(views, LABELS, differentiable=False)
    torch.testing.assert_close(found, input_gradient_norms(model, paradigm, views, LABELS))
    if name == "supervised":
        own = GradientNorms(model, paradigm, "log_probability").at(views, LABELS, differentiable=False)
        right = model(views[0]).argmax(dim=1) == LABELS
        torch.testing.assert_close(own[right], found[right])
        assert right.any()


@pytest.mark.parametrize("name", PARADIGMS)
@pytest.mark.parametrize("target", [1.0, "measured"])
def test_without_weight_it_finetunes(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], noise: Callable[..., Records],
    name: str, target: Any,
) -> None:  # fmt: skip
    paradigm, retain = every_paradigm[name], noise(16)
    model, expected, tuned = (build_model(paradigm) for _ in range(3))
    config, purpose = config_of(weight=0, target=target), "gradient_penalty"
    shown: dict[str, Any] = {"retain": retain, "forget": noise(6, 1), "calibration": noise(6, 2)}
    gradient_penalty(model, paradigm, **shown, config=config, seed=3)
    minimise(expected, paradigm, retain, lambda draw: None, config, seed=3, purpose=purpose)
    for key, value in expected.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    if name in ("simclr", "supervised"):  # what follows a step of the others sees another mode in training
        train(tuned, paradigm, retain, config.optimisation, seed=3, purpose=purpose)
        for key, value in tuned.state_dict().items():
            assert torch.equal(model.state_dict()[key], value)


def test_one_step_follows_the_retain_set_and_the_squared_distance_from_the_target(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    """At the members themselves, where nothing is drawn; the target as measured on non-members beforehand."""
    retain, forget, strangers = noise(8), noise(6, 1), noise(10, 2)
    for target in (0.0, 1.0, "measured"):
        model = build_model(supervised).eval()
        wanted = target
        if isinstance(wanted, str):
            views = supervised.views(strangers.images, torch.Generator())
            wanted = input_gradient_norms(model, supervised, views, strangers.labels).mean().item()
        twin = model.clone().train()
        views = supervised.views(retain.images, torch.Generator())
        loss = supervised.per_sample_loss(twin, views, retain.labels).mean()
        twin.eval()  # with the statistics that retaining left
        terms = []
        for image, label in zip(forget.images, forget.labels, strict=True):
            pixels = (image[None].float() / 255).requires_grad_()
            own = F.cross_entropy(twin(pixels), label[None])
            (gradient,) = torch.autograd.grad(own, pixels, create_graph=True)
            terms.append((gradient.norm() - wanted) ** 2)
        total = loss + 0.7 * torch.stack(terms).mean()
        slopes = torch.autograd.grad(total, list(twin.parameters()))
        before = [weight.detach().clone() for weight in model.parameters()]
        optimisation = OptimisationConfig(epochs=1, batch_size=8, optimiser="sgd", momentum=0, learning_rate=0.1)
        config = config_of(optimisation=optimisation, weight=0.7, at="members", target=target)
        shown: dict[str, Any] = {"retain": retain, "forget": forget, "calibration": strangers}
        gradient_penalty(model, supervised, **shown, config=config, seed=0)
        for weight, old, slope in zip(model.parameters(), before, slopes, strict=True):
            torch.testing.assert_close(weight.detach(), old - 0.1 * slope, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", PARADIGMS)
def test_the_simplified_form_never_touches_a_non_member(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], noise: Callable[..., Records], name: str
) -> None:
    paradigm, nobody = every_paradigm[name], Untouchable()
    shown: dict[str, Any] = {"retain": noise(16), "forget": noise(6, 1), "calibration": nobody, "seed": 0}
    gradient_penalty(build_model(paradigm), paradigm, **shown, config=config_of(at="members", target=0))
    for needs in ({"at": "mixed"}, {"at": "members", "target": "measured"}):
        with pytest.raises(AssertionError, match="non-members were"):
            gradient_penalty(build_model(paradigm), paradigm, **shown, config=config_of(**needs))


def test_fewer_non_members_than_forgotten_records_are_enough(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    shown: dict[str, Any] = {"retain": noise(8), "forget": noise(6, 1), "calibration": noise(2, 2)}
    found = gradient_penalty(build_model(supervised), supervised, **shown, config=config_of(), seed=0)
    assert torch.isfinite(nn.utils.parameters_to_vector(found.parameters())).all()


def squared_distance(model: Model, toy: Any, at: str, seed: int) -> float:
    """Mean of (norm − 1)² over the first 16 members and strangers, in one draw of views and of ε."""
    draw = torch.Generator().manual_seed(seed)
    members, others = toy.members[:16], toy.strangers[:16]
    first, second = (toy.paradigm.views(part.images, draw) for part in (members, others))
    epsilon = torch.rand(16, generator=draw) if at == "mixed" else torch.ones(16)
    norms = GradientNorms(model, toy.paradigm, "loss").between(first, second, members.labels, others.labels, epsilon)
    return (norms - 1).square().mean().item()


@pytest.mark.parametrize("at", ["mixed", "members"])
@pytest.mark.parametrize("name", PARADIGMS)
def test_norms_come_nearer_to_the_target_than_training_on_would_bring_them(
    memorised: Callable[[str, int], Any], name: str, at: str
) -> None:
    optimisation = OptimisationConfig(epochs=20, batch_size=32, learning_rate=0.003)
    distances = []
    for seed in range(4):
        toy = memorised(name, seed)
        forget, retain = toy.members[:16], toy.members[16:]
        shown: dict[str, Any] = {"retain": retain, "forget": forget, "calibration": toy.strangers[:24], "seed": seed}
        found = []
        for weight in (0.0, 10.0):
            model = toy.model.clone()
            config = config_of(optimisation=optimisation, weight=weight, at=at, target=1.0, forget_batch=16)
            gradient_penalty(model, toy.paradigm, **shown, config=config)
            found.append(np.mean([squared_distance(model, toy, at, seed) for seed in range(6)]))
        distances.append(found)
    plain, penalised = np.mean(distances, axis=0)
    assert penalised < plain


@pytest.mark.parametrize(
    ("name", "of", "told"),
    [
        ("supervised", "similarity", "similarity needs two views and supervised has one"),
        *((name, "log_probability", f"log_probability needs classes and {name} has none") for name in PARADIGMS[:3]),
    ],
)
def test_a_function_that_a_paradigm_has_not_is_refused(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], noise: Callable[..., Records],
    name: str, of: str, told: str,
) -> None:  # fmt: skip
    paradigm = every_paradigm[name]
    shown: dict[str, Any] = {"retain": noise(8), "forget": noise(4, 1), "calibration": noise(4, 2)}
    with pytest.raises(UserError, match=told):
        gradient_penalty(build_model(paradigm), paradigm, **shown, config=config_of(of=of), seed=0)


@pytest.mark.parametrize("wrong", [{"weight": -1}, {"of": "critic"}, {"at": "here"}, {"target": -1}, {"target": "it"}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        config_of(**wrong)
