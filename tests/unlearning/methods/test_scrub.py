from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.core.errors import UserError
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig
from unlearning.methods.objective import relative_drift
from unlearning.methods.scrub import SCRUBConfig, max_steps, scrub
from unlearning.methods.teaching import divergence_from


def config_of(epochs: int = 3, **changes: Any) -> SCRUBConfig:
    optimisation = OptimisationConfig(epochs=epochs, batch_size=8, optimiser="sgd", momentum=0, learning_rate=0.1)
    return SCRUBConfig(**({"optimisation": optimisation} | changes))


@pytest.mark.parametrize(
    ("epochs", "active", "expected"),
    [
        (3, 0.5, "-+-"),
        (3, 0.01, "-+-"),  # never without any
        (8, 0.5, "-+-+----"),
        (6, 1.0, "-+-+--"),  # the last one repairs
        (7, 1.0, "-+-+-+-"),
    ],
)
def test_epochs_of_max_steps_stand_between_the_first_ones_of_min_steps(
    epochs: int, active: float, expected: str
) -> None:
    found = "".join("-+"[step] for step in max_steps(20, config_of(epochs, active=active)))
    assert found == "".join(3 * sign for sign in expected)  # 20 records are 3 batches of at most 8


def slow_divergence(teacher: Model, student: Model, records: Records) -> Tensor:
    """Mean over records of KL(teacher ‖ student), one after the other."""
    found = []
    for image in records.images:
        pixels = image[None].float() / 255
        found.append(F.kl_div(student(pixels).log_softmax(1), teacher(pixels).softmax(1).detach(), reduction="sum"))
    return torch.stack(found).mean()


def test_its_steps_descend_loss_and_divergence_on_retained_and_ascend_it_on_forgotten_records(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    """Three epochs of one step each, followed by hand."""
    retain, forget, model = noise(8), noise(6, 1), build_model(supervised).eval()
    teacher, twin = model.clone(), model.clone()
    views = supervised.views(retain.images, torch.Generator())

    def descend(loss: Tensor) -> None:
        weights = list(twin.parameters())
        slopes = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                weight.sub_(0.1 * slope)

    def retaining() -> Tensor:
        loss = supervised.per_sample_loss(twin.train(), views, retain.labels).mean()
        twin.eval()
        drift = relative_drift(twin.features(views[0]), teacher.features(views[0]).detach())
        return loss + 2.0 * slow_divergence(teacher, twin, retain) + 0.3 * drift

    descend(retaining())
    descend(-5.0 * slow_divergence(teacher, twin, forget))
    descend(retaining())
    config = config_of(weight=5.0, agreement=2.0, distillation=0.3)
    scrub(model, supervised, retain=retain, forget=forget, config=config, seed=0)
    for key, value in twin.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", PARADIGMS)
def test_the_forget_set_is_answered_less_like_the_original_than_without_max_steps(
    memorised: Callable[[str, int], Any], name: str
) -> None:
    optimisation = OptimisationConfig(epochs=9, batch_size=16, learning_rate=0.01)
    temperature = 1.0 if name == "supervised" else 0.2
    gains = []
    for seed in range(6):
        toy = memorised(name, seed)
        forget, retain = toy.members[:16], toy.members[16:]
        views = toy.paradigm.views(forget.images, torch.Generator().manual_seed(9))
        found = []
        for weight in (1e-9, 3.0):
            model = toy.model.clone()
            config = SCRUBConfig(optimisation=optimisation, weight=weight, active=1.0, temperature=temperature)
            scrub(model, toy.paradigm, retain=retain, forget=forget, config=config, seed=seed)
            with torch.no_grad():
                found.append(divergence_from(toy.model, model, toy.paradigm, views, temperature).item())
        gains.append(found[1] - found[0])
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(6)


def test_too_few_epochs_to_alternate_are_refused_before_any_work(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    with pytest.raises(UserError, match="give it 3 epochs or more"):
        scrub(build_model(supervised), supervised, retain=noise(8), forget=noise(4, 1), config=config_of(2), seed=0)


@pytest.mark.parametrize("wrong", [{"agreement": -1}, {"temperature": 0}, {"active": 0}, {"weight": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        config_of(**wrong)
