from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from unlearning.core.errors import UserError
from unlearning.data.augmentations import AugmentationConfig
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms.byol import BYOL, BYOLConfig
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig
from unlearning.methods.alignment_calibration import AlignmentCalibrationConfig, alignment_calibration


def config_of(**changes: Any) -> AlignmentCalibrationConfig:
    optimisation = OptimisationConfig(epochs=10, batch_size=32, learning_rate=0.003)
    return AlignmentCalibrationConfig(optimisation=optimisation, forget_batch=16, **changes)


@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_one_step_follows_retaining_misaligning_and_drawing_apart(
    build_model: Callable[..., Model], noise: Callable[..., Records], beta: float
) -> None:
    """Views are the images themselves, and of two forgotten records each is the other's partner."""
    still = AugmentationConfig(crop_min_scale=1, flip=0, brightness=0, contrast=0)
    byol = BYOL(BYOLConfig(projector_hidden=(8,), predictor_hidden=(8,), projection=6, augmentation=still))
    retain, forget, model = noise(8), noise(2, 1), build_model(byol).eval()
    parts = [byol.views(part.images, torch.Generator()) for part in (retain, forget)]
    twin = model.clone().train()
    retaining = byol.per_sample_loss(twin, parts[0], retain.labels).mean()
    twin.eval()  # with the statistics that retaining left
    first, second = parts[1]
    crossed = byol.per_sample_loss(twin, torch.stack([first, second.flip(0)]), forget.labels).mean()
    own = F.cosine_similarity(twin(first), twin(second)).mean()
    weights, same = ([weight for weight in each.parameters() if weight.requires_grad] for each in (model, twin))
    slopes = torch.autograd.grad(retaining + 0.7 * (crossed + beta * own), same)
    before = [weight.detach().clone() for weight in weights]
    optimisation = OptimisationConfig(epochs=1, batch_size=8, optimiser="sgd", momentum=0, learning_rate=0.01)
    config = AlignmentCalibrationConfig(optimisation=optimisation, weight=0.7, positive=beta)
    alignment_calibration(model, byol, retain=retain, forget=forget, config=config, seed=0)
    for weight, old, slope in zip(weights, before, slopes, strict=True):
        torch.testing.assert_close(weight.detach(), old - 0.01 * slope, rtol=1e-4, atol=1e-6)


def test_a_classifier_has_nothing_to_align(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    with pytest.raises(UserError, match="alignment_calibration is for contrastive paradigms: choose random_label"):
        alignment_calibration(
            build_model(supervised), supervised, retain=noise(8), forget=noise(4, 1), config=config_of(), seed=0
        )


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        config_of(positive=-1)
