from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from unlearning.data.augmentations import AugmentationConfig
from unlearning.data.records import Records, as_pixels
from unlearning.learning.encoders import MLPConfig
from unlearning.learning.models import Model
from unlearning.learning.paradigms import make_paradigm
from unlearning.learning.paradigms.supervised import Supervised, SupervisedConfig

BuildModel = Callable[..., Model]
MakeRecords = Callable[..., Records]


@pytest.fixture
def model(supervised: Supervised, build_model: BuildModel) -> Model:
    return build_model(supervised, classes=4).eval()


def views_of(count: int, views: int = 1) -> Tensor:
    return torch.rand(views, count, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def slow_cross_entropy(logits: list[float], label: int) -> float:
    return math.log(sum(math.exp(value) for value in logits)) - logits[label]


@pytest.mark.parametrize("count_views", [1, 3])
def test_the_loss_is_the_cross_entropy_averaged_over_views(
    supervised: Supervised, model: Model, count_views: int
) -> None:
    views, labels = views_of(5, count_views), torch.tensor([0, 3, 1, 2, 3])
    with torch.no_grad():
        losses = supervised.per_sample_loss(model, views, labels)
        logits = [[model(view[row : row + 1])[0].tolist() for view in views] for row in range(5)]
    expected = [
        sum(slow_cross_entropy(each, int(label)) for each in of_record) / count_views
        for of_record, label in zip(logits, labels, strict=True)
    ]
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-5)


def test_losses_follow_their_records_when_the_batch_is_shuffled(supervised: Supervised, model: Model) -> None:
    views, labels, order = views_of(5, 2), torch.tensor([0, 3, 1, 2, 3]), torch.tensor([4, 2, 0, 1, 3])
    losses = supervised.per_sample_loss(model, views, labels)
    torch.testing.assert_close(supervised.per_sample_loss(model, views[:, order], labels[order]), losses[order])


def test_isolating_records_changes_neither_losses_nor_gradients(supervised: Supervised, model: Model) -> None:
    views, labels = views_of(4, 2).requires_grad_(), torch.tensor([0, 1, 2, 3])
    losses = [supervised.per_sample_loss(model, views, labels, isolate=isolate) for isolate in (False, True)]
    assert torch.equal(losses[0], losses[1])
    gradients = [torch.autograd.grad(each.sum(), views)[0] for each in losses]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_in_evaluation_mode_a_loss_depends_on_its_own_record_only(supervised: Supervised, model: Model) -> None:
    views, labels = views_of(4).requires_grad_(), torch.tensor([0, 1, 2, 3])
    losses = supervised.per_sample_loss(model, views, labels)
    (gradient,) = torch.autograd.grad(losses[2], views)
    touched = gradient.abs().amax(dim=(0, 2, 3, 4)) > 0
    assert touched.tolist() == [False, False, True, False]


def test_there_is_one_augmented_view_that_follows_from_the_generator(noise: MakeRecords) -> None:
    paradigm, images = Supervised(SupervisedConfig()), noise(5, shape=(3, 4, 4)).images
    views, again, other = (paradigm.views(images, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert views.shape == (1, 5, 3, 4, 4)
    assert torch.equal(views, again)
    assert not torch.allclose(views, other)


def test_without_augmentation_the_view_is_the_image(supervised: Supervised, noise: MakeRecords) -> None:
    images = noise(5).images
    assert torch.equal(supervised.views(images, torch.Generator())[0], as_pixels(images))


def test_there_is_one_logit_per_class(supervised: Supervised) -> None:
    model = supervised.build(MLPConfig(hidden=(12,)), (1, 4, 4), ("a", "b", "c"))
    assert model.spec.paradigm == "supervised"
    assert model.spec.class_names == ("a", "b", "c")
    assert model.eval()(torch.zeros(2, 1, 4, 4)).shape == (2, 3)


def test_there_is_nothing_beside_the_weights(
    supervised: Supervised, model: Model, noise: Callable[..., Records]
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    supervised.after_step(model, torch.rand(1, 4, 1, 4, 4))
    supervised.rebuild_state(model, noise(4), torch.Generator())
    assert supervised.while_unlearning() is supervised
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_its_configuration_makes_it() -> None:
    config = SupervisedConfig(augmentation=AugmentationConfig(flip=0))
    paradigm = make_paradigm(config)
    assert isinstance(paradigm, Supervised)
    assert paradigm.config is config
