from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.core.seeding import generator
from unlearning.data.augmentations import AugmentationConfig
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS, Paradigm
from unlearning.learning.paradigms.simclr import SimCLR, SimCLRConfig, nt_xent
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.methods import ssd as module
from unlearning.methods.ssd import SSDConfig, dampened, importances, ssd, summed_squares

STILL = AugmentationConfig(crop_min_scale=1, flip=0, brightness=0, contrast=0)


def trained(model: Model) -> dict[str, Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def slow_sums(model: Model, records: Records, loss: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Tensor]:
    """One record after the other through autograd."""
    weights = trained(model)
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for image, label in zip(records.images, records.labels, strict=True):
        gradients = torch.autograd.grad(loss(image[None].float() / 255, label[None]), list(weights.values()))
        for name, gradient in zip(weights, gradients, strict=True):
            sums[name] += gradient.square()
    return sums


@pytest.mark.parametrize("size", [1, 3, 32])
def test_a_classifiers_squares_are_those_of_each_records_cross_entropy_whatever_the_batch(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records], size: int
) -> None:
    model, records = build_model(supervised).eval(), noise(7)

    def loss(pixels: Tensor, label: Tensor) -> Tensor:
        return F.nll_loss(model(pixels).log_softmax(dim=1), label)

    others = [noise(2, 1)] * -(-7 // size)
    found = summed_squares(model, supervised, records, others, size, torch.Generator())
    expected = slow_sums(model, records, loss)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-3, atol=1e-8)


def test_an_encoders_squares_are_those_of_a_record_among_the_others_as_constants(
    build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    """Both views are the image itself."""
    simclr = SimCLR(SimCLRConfig(temperature=0.5, projector_hidden=(8,), projection=6, augmentation=STILL))
    model, records, others = build_model(simclr).eval(), noise(6), noise(5, 1)

    def loss(pixels: Tensor, label: Tensor) -> Tensor:
        with torch.no_grad():
            constants = model(others.images.repeat(2, 1, 1, 1).float() / 255)
        return nt_xent(model(pixels), model(pixels), 0.5, context_records=constants).sum()

    found = summed_squares(model, simclr, records, [others, others], 3, torch.Generator())
    for name, values in slow_sums(model, records, loss).items():
        torch.testing.assert_close(found[name], values, rtol=1e-3, atol=1e-8)


def test_importance_is_a_mean_over_the_forget_set_and_over_everybody(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    model, retain, forget = build_model(supervised).eval(), noise(10), noise(4, 1)
    forgotten, whole = importances(model, supervised, retain, forget, SSDConfig(batch_size=3), torch.Generator())
    sums = [summed_squares(model, supervised, part, [part], len(part), torch.Generator()) for part in (retain, forget)]
    for name in forgotten:
        torch.testing.assert_close(forgotten[name], sums[1][name] / 4, rtol=1e-3, atol=1e-8)
        torch.testing.assert_close(whole[name], (sums[0][name] + sums[1][name]) / 14, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize(("retained", "context", "size"), [(20, 6, 4), (20, 128, 32), (7, 3, 2), (2, 5, 9)])
def test_no_record_is_told_from_itself_and_all_of_the_others_are_retained(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records],
    monkeypatch: pytest.MonkeyPatch, retained: int, context: int, size: int,
) -> None:  # fmt: skip
    """A record is known by its first pixel."""
    images = torch.arange(retained).to(torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    retain = Records(images, torch.zeros(retained, dtype=torch.int64))
    seen: list[int] = []

    def watched(
        model: Model, paradigm: Paradigm, records: Records, others: Iterable[Records], size: int, draw: Any
    ) -> dict[str, Tensor]:
        batches = torch.split(records.images[:, 0, 0, 0], size)
        for batch, nearby in zip(batches, list(others), strict=True):
            known = nearby.images[:, 0, 0, 0].tolist()
            assert len(set(known)) == len(known) > 0
            assert max(known) < retained
            assert not set(known) & set(batch.tolist())
            seen.extend(batch.tolist())
        return {}

    monkeypatch.setattr(module, "summed_squares", watched)
    strange = Records(noise(9, 1).images // 16 + 200, torch.zeros(9, dtype=torch.int64))
    importances(
        build_model(supervised), supervised, retain, strange, SSDConfig(context=context, batch_size=size),
        torch.Generator(),
    )  # fmt: skip
    assert sorted(seen[:retained]) == list(range(retained))


def test_weights_are_chosen_and_shrunk_by_the_papers_rule() -> None:
    weight = torch.tensor([2.0, 2.0, 2.0, -2.0, 2.0])
    forgotten, whole = torch.tensor([1.0, 4.0, 4.0, 8.0, 0.0]), torch.tensor([1.0, 2.0, 1.9, 1.0, 0.0])
    found = dampened(weight, forgotten, whole, SSDConfig(alpha=2.0, dampening=1.0))
    # The second is exactly α times as important, which is not more; the last matters to nobody.
    torch.testing.assert_close(found, torch.tensor([2.0, 2.0, 2 * 1.9 / 4, -2.0 / 8, 2.0]))
    grown = dampened(weight, forgotten, whole, SSDConfig(alpha=2.0, dampening=100.0))
    assert torch.equal(grown, weight), "no weight grows"


@pytest.mark.parametrize("name", PARADIGMS)
def test_the_limits_change_nothing_and_leave_nothing(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], noise: Callable[..., Records], name: str
) -> None:
    paradigm, retain, forget = every_paradigm[name], noise(16), noise(6, 1)

    def weights_after(config: SSDConfig) -> tuple[Model, Model]:
        model = build_model(paradigm).eval()
        return model.clone(), ssd(model, paradigm, retain=retain, forget=forget, config=config, seed=0)

    # Everybody includes the forget set, so no weight can matter to it more than 22 / 6 times as much.
    for alpha in (1e9, 22 / 6 + 1e-3):
        before, same = weights_after(SSDConfig(alpha=alpha))
        assert all(torch.equal(value, before.state_dict()[key]) for key, value in same.state_dict().items())
    before, emptied = weights_after(SSDConfig(alpha=0, dampening=0))
    forgotten, _ = importances(before, paradigm, retain, forget, SSDConfig(), generator(0, "ssd"))
    for key, weight in trained(emptied).items():
        assert torch.equal(weight != 0, (forgotten[key] == 0) & (trained(before)[key] != 0))
    assert any((weight == 0).any() for weight in trained(emptied).values())


@pytest.mark.parametrize("wrong", [{"alpha": -1}, {"dampening": -1}, {"context": 0}, {"batch_size": 0}, {"epochs": 1}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SSDConfig(**wrong)
