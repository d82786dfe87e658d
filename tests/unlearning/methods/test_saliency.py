from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from unlearning.core.errors import UserError
from unlearning.core.seeding import generator
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS, Paradigm
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig
from unlearning.methods.saliency import SaliencyConfig, saliency, saliency_masks


def config_of(share: float, **changes: Any) -> SaliencyConfig:
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01} | changes
    return SaliencyConfig(optimisation=OptimisationConfig(**settings), share=share, forget_batch=4)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_masks_keep_the_weights_with_the_largest_gradients(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records], share: float
) -> None:
    model, forget = build_model(supervised).eval(), noise(6)
    masks = saliency_masks(model, supervised, forget, share, torch.Generator())
    views = supervised.views(forget.images, torch.Generator())
    supervised.per_sample_loss(model, views, forget.labels).mean().backward()  # type: ignore[no-untyped-call]
    steepness = np.concatenate([np.abs(weight.grad.numpy().ravel()) for weight in model.parameters()])  # type: ignore[union-attr]
    kept = np.concatenate([masks[name].numpy().ravel() for name, _ in model.named_parameters()]).astype(bool)
    assert kept.sum() == round(share * len(steepness))
    if share < 1:
        assert steepness[kept].min() >= steepness[~kept].max()


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("name", PARADIGMS)
def test_weights_outside_the_mask_stay_bit_for_bit(
    every_paradigm: dict[str, Paradigm],
    build_model: Callable[..., Model],
    noise: Callable[..., Records],
    name: str,
    optimiser: str,
) -> None:
    paradigm = every_paradigm[name]
    model, retain, forget = build_model(paradigm).eval(), noise(16), noise(6, 1)
    before = {key: weight.clone() for key, weight in model.named_parameters()}
    masks = saliency_masks(model, paradigm, forget, 0.3, generator(7, "saliency"))
    config = config_of(0.3, optimiser=optimiser, clip_norm=1.0)
    saliency(model, paradigm, retain=retain, forget=forget, config=config, seed=7)
    moved = 0
    for key, weight in model.named_parameters():
        if key in masks:
            assert torch.equal(weight[masks[key] == 0], before[key][masks[key] == 0])
            moved += int((weight != before[key]).sum())
    assert moved > 0.5 * sum(int(mask.sum()) for mask in masks.values())
    assert not any(weight._backward_hooks for weight in model.parameters())


def test_weight_decay_would_move_every_weight_and_is_refused(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    config = config_of(0.5, weight_decay=0.1)
    with pytest.raises(UserError, match="saliency keeps masked weights as they are: set its weight_decay to 0"):
        saliency(build_model(supervised), supervised, retain=noise(8), forget=noise(4, 1), config=config, seed=0)


@pytest.mark.parametrize("share", [0, 1.1])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        config_of(share)
