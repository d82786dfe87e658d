from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig
from unlearning.methods import bad_teacher as module
from unlearning.methods.bad_teacher import BadTeacherConfig, bad_teacher, incompetent_teacher
from unlearning.methods.objective import minimise
from unlearning.methods.teaching import divergence_from

ONE_STEP = OptimisationConfig(epochs=1, batch_size=8, optimiser="sgd", momentum=0, learning_rate=0.1)


def slow_divergence(teacher: Model, student: Model, records: Records, temperature: float) -> Tensor:
    """Mean over records of Σ p log(p / q), one record after the other."""
    total = torch.zeros(())
    for image in records.images:
        pixels = image[None].float() / 255
        taught, answer = ((model(pixels)[0] / temperature).softmax(dim=0) for model in (teacher, student))
        total = total + sum(p.detach() * (p.detach() / q).log() for p, q in zip(taught, answer, strict=True))
    return total / len(records)


def test_one_step_follows_the_loss_and_both_teachers(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    """As many forgotten as retained records, so that all of both are drawn."""
    retain, forget, model = noise(8), noise(8, 1), build_model(supervised).eval()
    twin, competent = model.clone().train(), model.clone()
    loss = supervised.per_sample_loss(twin, supervised.views(retain.images, torch.Generator()), retain.labels).mean()
    twin.eval()  # with the statistics that retaining left
    wrong = slow_divergence(incompetent_teacher(model, supervised, 3), twin, forget, 2.0)
    right = slow_divergence(competent, twin, retain, 2.0)
    slopes = torch.autograd.grad(loss + 0.7 * (wrong + right), list(twin.parameters()))
    before = [weight.detach().clone() for weight in model.parameters()]
    config = BadTeacherConfig(optimisation=ONE_STEP, weight=0.7, temperature=2.0)
    bad_teacher(model, supervised, retain=retain, forget=forget, config=config, seed=3)
    for weight, old, slope in zip(model.parameters(), before, slopes, strict=True):
        torch.testing.assert_close(weight.detach(), old - 0.1 * slope, rtol=1e-4, atol=1e-6)


def test_two_competent_teachers_teach_nothing_new(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The answers diverge from nobody, and a step without slope is no step: without a rate nothing else moves."""
    monkeypatch.setattr(module, "incompetent_teacher", lambda model, paradigm, seed: model.clone().eval())
    model, found = build_model(supervised).eval(), []

    def watched(*arguments: Any, **options: Any) -> Tensor:
        found.append(divergence_from(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(module, "divergence_from", watched)
    still = ONE_STEP.model_copy(update={"epochs": 2, "learning_rate": 1e-12})
    bad_teacher(model, supervised, retain=noise(8), forget=noise(4, 1), seed=0,
                config=BadTeacherConfig(optimisation=still))  # fmt: skip
    assert len(found) == 4
    # Batch-norm statistics follow the retain set, so the student has moved a little.
    assert found[0].item() < 0.05
    frozen = build_model(supervised).eval()
    views = supervised.views(noise(4, 1).images, torch.Generator())
    assert divergence_from(frozen.clone(), frozen, supervised, views, 1.0).item() == pytest.approx(0, abs=1e-7)


def test_the_incompetent_teacher_follows_from_the_seed_and_learned_nothing(
    supervised: Supervised, build_model: Callable[..., Model]
) -> None:
    model = build_model(supervised)
    first, again, other = (
        torch.nn.utils.parameters_to_vector(incompetent_teacher(model, supervised, seed).parameters())
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, torch.nn.utils.parameters_to_vector(model.parameters()))


@pytest.mark.parametrize("name", PARADIGMS)
def test_forgotten_answers_come_nearer_to_the_incompetent_teachers_than_training_on_would_bring_them(
    memorised: Callable[[str, int], Any], name: str
) -> None:
    optimisation = OptimisationConfig(epochs=10, batch_size=32, learning_rate=0.003)
    config = BadTeacherConfig(optimisation=optimisation, temperature=1.0 if name == "supervised" else 0.2)
    for seed in range(4):
        toy = memorised(name, seed)
        forget, retain = toy.members[:16], toy.members[16:]
        taught, plain = toy.model.clone(), toy.model.clone()
        bad_teacher(taught, toy.paradigm, retain=retain, forget=forget, config=config, seed=seed)
        minimise(plain, toy.paradigm, retain, lambda draw: None, config, seed=seed, purpose="bad_teacher")
        teacher = incompetent_teacher(toy.model, toy.paradigm, seed)
        views = toy.paradigm.views(forget.images, torch.Generator().manual_seed(9))
        with torch.no_grad():
            near, far = (
                divergence_from(teacher, model, toy.paradigm, views, config.temperature).item()
                for model in (taught, plain)
            )
        assert near < far


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        BadTeacherConfig(optimisation=ONE_STEP, temperature=0)
