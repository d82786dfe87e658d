from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from unlearning.data.augmentations import AugmentationConfig
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS, Paradigm
from unlearning.learning.paradigms.supervised import Supervised, SupervisedConfig
from unlearning.learning.training import OptimisationConfig
from unlearning.methods.coun import CoUnConfig, coun, two_views

STILL = AugmentationConfig(crop_min_scale=1, flip=0, brightness=0, contrast=0)


def config_of(**changes: Any) -> CoUnConfig:
    optimisation = OptimisationConfig(epochs=1, batch_size=8, optimiser="sgd", momentum=0, learning_rate=0.1)
    return CoUnConfig(**({"optimisation": optimisation} | changes))


def slow_contrast(model: Model, records: Records, temperature: float) -> torch.Tensor:
    """NT-Xent of features whose two views are the image itself, one query after the other."""
    directions = [F.normalize(model.features(image[None].float() / 255)[0], dim=0) for image in records.images]
    losses = []
    for place, own in enumerate(directions):
        others = [each for at, each in enumerate(directions) if at != place]
        positive = (own @ own / temperature).exp()
        losses.append(-(positive / (positive + 2 * sum((own @ each / temperature).exp() for each in others))).log())
    return torch.stack(losses).mean()


def test_one_step_follows_the_labels_and_the_contrast_of_features(
    build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    supervised = Supervised(SupervisedConfig(augmentation=STILL))
    retain, model = noise(8), build_model(supervised).eval()
    twin = model.clone().train()
    loss = supervised.per_sample_loss(twin, supervised.views(retain.images, torch.Generator()), retain.labels).mean()
    twin.eval()  # with the statistics that retaining left
    contrast = slow_contrast(twin, retain, 0.5)
    slopes = torch.autograd.grad(loss + 0.7 * contrast, list(twin.parameters()))
    before = [weight.detach().clone() for weight in model.parameters()]
    coun(model, supervised, retain=retain, config=config_of(weight=0.7, temperature=0.5), seed=0)
    for weight, old, slope in zip(model.parameters(), before, slopes, strict=True):
        torch.testing.assert_close(weight.detach(), old - 0.1 * slope, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", PARADIGMS)
def test_there_are_two_different_views_of_every_record(
    every_paradigm: dict[str, Paradigm], noise: Callable[..., Records], name: str
) -> None:
    """From the paradigm's own augmentation, even where it makes one view, or from that of the settings."""
    images, draw = noise(5).images, torch.Generator().manual_seed(0)
    own = Supervised(SupervisedConfig()) if name == "supervised" else every_paradigm[name]
    for paradigm, config in ((own, config_of()), (every_paradigm[name], config_of(augmentation=AugmentationConfig()))):
        views = two_views(paradigm, images, config, draw)
        assert views.shape == (2, 5, 1, 4, 4)
        assert not torch.equal(views[0], views[1])
    still = two_views(own, images, config_of(augmentation=STILL), draw)
    assert torch.equal(still[0], still[1])
    assert torch.equal(still[0], images.float() / 255)


@pytest.mark.parametrize("name", PARADIGMS)
def test_retained_records_become_easier_to_tell_apart_by_their_features(
    memorised: Callable[[str, int], Any], name: str
) -> None:
    for seed in range(3):
        toy = memorised(name, seed)
        retain = toy.members[16:]
        optimisation = OptimisationConfig(epochs=10, batch_size=32, learning_rate=0.003)
        found = []
        for weight in (1e-9, 1.0):
            model = toy.model.clone()
            config = CoUnConfig(optimisation=optimisation, weight=weight, temperature=0.5)
            coun(model, toy.paradigm, retain=retain, config=config, seed=seed)
            with torch.no_grad():
                found.append(slow_contrast(model, retain, 0.5).item())
        assert found[1] < found[0]
