from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.data.augmentations import AugmentationConfig
from unlearning.data.records import Records, as_pixels
from unlearning.learning.encoders import MLPConfig
from unlearning.learning.models import Model
from unlearning.learning.paradigms import make_paradigm
from unlearning.learning.paradigms.moco import MoCo, MoCoConfig, info_nce

BuildModel = Callable[..., Model]
MakeRecords = Callable[..., Records]
STILL = AugmentationConfig(crop_min_scale=1, flip=0, brightness=0, contrast=0)


def moco_of(**changes: Any) -> MoCo:
    settings = {"temperature": 0.5, "momentum": 0.9, "queue": 7, "projector_hidden": (8,), "projection": 6}
    return MoCo(MoCoConfig(**(settings | changes)))


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def distances(rows: Tensor, among: Tensor) -> Tensor:
    """(R, A) distances, summed term by term: the fast way by products rounds them away."""
    return torch.cdist(rows, among, compute_mode="donot_use_mm_for_euclid_dist")


def reference(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> list[float]:
    """One record after the other: minus the log of the softmax's share of the positive."""
    losses = []
    for query, key in zip(queries.double().numpy(), keys.double().numpy(), strict=True):
        query, key = query / np.linalg.norm(query), key / np.linalg.norm(key)
        positive = math.exp(float(query @ key) / temperature)
        negatives = sum(math.exp(float(query @ old) / temperature) for old in queue.double().numpy())
        losses.append(-math.log(positive / (positive + negatives)))
    return losses


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_the_loss_is_the_positives_share_among_positive_and_queue(temperature: float) -> None:
    queries, keys, queue = draws(5, 4), draws(5, 4, seed=1), F.normalize(draws(9, 4, seed=2), dim=1)
    found = info_nce(queries, keys, queue, temperature)
    assert found.tolist() == pytest.approx(reference(queries, keys, queue, temperature), rel=1e-4, abs=1e-6)


def test_a_queue_of_keys_like_the_positive_leaves_a_guess_among_all() -> None:
    queries, keys = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    found = info_nce(queries, keys, keys.expand(9, 2), 0.2)
    assert found.item() == pytest.approx(math.log(10), rel=1e-5)


def test_agreement_with_the_key_and_disagreement_with_the_queue_cost_nothing() -> None:
    one = torch.tensor([[1.0, 0.0]])
    assert info_nce(one, one, -one, 0.05).item() == pytest.approx(0, abs=1e-6)


def test_lengths_do_not_matter() -> None:
    queries, keys, queue = draws(5, 4), draws(5, 4, seed=1), F.normalize(draws(9, 4, seed=2), dim=1)
    torch.testing.assert_close(info_nce(3 * queries, 0.1 * keys, queue, 0.2), info_nce(queries, keys, queue, 0.2))


def test_the_model_is_compared_with_its_slow_copy_and_the_queue(build_model: BuildModel) -> None:
    moco, views = moco_of(), torch.rand(2, 5, 1, 4, 4)
    model = build_model(moco).eval()
    with torch.no_grad():
        next(model.momentum.parameters()).add_(0.3)
    found = moco.per_sample_loss(model, views, torch.zeros(5, dtype=torch.int64))
    expected = reference(model(views[0]).detach(), model.momentum(views[1]), model.queue, 0.5)
    assert found.tolist() == pytest.approx(expected, rel=1e-4)


def test_the_symmetric_loss_is_the_mean_of_both_directions(build_model: BuildModel) -> None:
    one_way, both = moco_of(), moco_of(symmetric=True)
    model, views, labels = build_model(one_way).eval(), torch.rand(2, 5, 1, 4, 4), torch.zeros(5, dtype=torch.int64)
    there, back = (one_way.per_sample_loss(model, given, labels) for given in (views, views.flip(0)))
    torch.testing.assert_close(both.per_sample_loss(model, views, labels), (there + back) / 2)


@pytest.mark.parametrize("symmetric", [False, True])
def test_no_gradient_goes_through_the_key(build_model: BuildModel, symmetric: bool) -> None:
    moco, views = moco_of(symmetric=symmetric), torch.rand(2, 5, 1, 4, 4, requires_grad=True)
    model = build_model(moco).eval()
    moco.per_sample_loss(model, views, torch.zeros(5, dtype=torch.int64)).sum().backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is None for weight in model.momentum.parameters())
    assert views.grad is not None
    assert views.grad[0].abs().sum() > 0
    assert (views.grad[1].abs().sum() > 0) == symmetric


def test_no_record_changes_another_ones_loss(build_model: BuildModel) -> None:
    moco, views, labels = moco_of(), torch.rand(2, 5, 1, 4, 4), torch.zeros(5, dtype=torch.int64)
    model = build_model(moco).eval()
    together = moco.per_sample_loss(model, views, labels)
    alone = [moco.per_sample_loss(model, views[:, row : row + 1], labels[:1]).item() for row in range(5)]
    assert together.tolist() == pytest.approx(alone, rel=1e-4)
    context_records = moco.per_sample_loss(
        model, views, labels, isolate=True, context_records=torch.rand(2, 3, 1, 4, 4)
    )
    torch.testing.assert_close(context_records, together)


@pytest.mark.parametrize("sizes", [(3, 3, 3), (7, 2), (5, 20), (1,) * 9])
def test_the_queue_holds_the_latest_keys(build_model: BuildModel, sizes: tuple[int, ...]) -> None:
    moco = moco_of(momentum=0.0)
    model = build_model(moco).eval()
    expected = list(model.queue.clone())
    for turn, size in enumerate(sizes):
        views = torch.rand(2, size, 1, 4, 4, generator=torch.Generator().manual_seed(turn))
        moco.after_step(model, views)
        expected += list(F.normalize(model.momentum(views[1]).detach(), dim=1))
    oldest = int(model.queue_position)
    in_order = torch.cat([model.queue[oldest:], model.queue[:oldest]])
    torch.testing.assert_close(in_order, torch.stack(expected[-7:]))


def test_a_gradient_can_be_asked_for_after_the_queue_moved_on(build_model: BuildModel) -> None:
    moco, views = moco_of(), torch.rand(2, 5, 1, 4, 4)
    model = build_model(moco).eval()
    loss = moco.per_sample_loss(model, views, torch.zeros(5, dtype=torch.int64)).mean()
    moco.after_step(model, views)
    loss.backward()  # type: ignore[no-untyped-call]
    assert next(model.parameters()).grad is not None


@pytest.mark.parametrize("count", [3, 7, 20])
def test_a_rebuilt_queue_holds_every_retained_record_equally_often(
    build_model: BuildModel, noise: MakeRecords, count: int
) -> None:
    moco, records = moco_of(augmentation=STILL, projector_hidden=(64,)), noise(count)
    model = build_model(moco, hidden=(64,)).eval()  # wide enough that no two records share a key
    with torch.no_grad():
        next(model.backbone.parameters()).add_(0.3)
    moco.rebuild_state(model, records, torch.Generator().manual_seed(0))
    keys = F.normalize(model(as_pixels(records.images)), dim=1).detach()
    nearest, rows = distances(model.queue, keys).min(dim=1)
    assert nearest.max() < 1e-4
    times = torch.bincount(rows, minlength=count)
    assert times.max() - times.min() <= 1


def test_unlearning_moves_the_copy_at_its_own_pace() -> None:
    moco = moco_of(unlearning_momentum=0.25)
    assert moco.while_unlearning().config == moco.config.model_copy(update={"momentum": 0.25})
    assert moco.config.momentum == 0.9


def test_views_are_two_and_follow_from_the_seed(noise: MakeRecords) -> None:
    one, again = (moco_of().views(noise(5).images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert one.shape == (2, 5, 1, 4, 4)
    assert torch.equal(one, again)
    assert not torch.equal(one[0], one[1])


def test_the_configured_model_is_built() -> None:
    model = moco_of(queue=11).build(MLPConfig(hidden=(12,)), (1, 4, 4), ("a", "b"))
    assert model.queue.shape == (11, 6)
    torch.testing.assert_close(model.queue.norm(dim=1), torch.ones(11))
    assert model.spec.paradigm == "moco"


def test_its_configuration_makes_it() -> None:
    paradigm = make_paradigm(MoCoConfig(temperature=0.3))
    assert isinstance(paradigm, MoCo)
    assert paradigm.config.temperature == 0.3


@pytest.mark.parametrize("wrong", [{"temperature": 0}, {"momentum": 1}, {"queue": 0}, {"unlearning_momentum": -1}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MoCoConfig.model_validate(wrong)
