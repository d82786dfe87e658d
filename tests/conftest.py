"""Small records, models and objectives that many tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from hypothesis import settings

from unlearning.augmentations import AugmentationConfig
from unlearning.encoders import MLPConfig
from unlearning.models import Model
from unlearning.paradigms import Paradigm
from unlearning.paradigms.simclr import SimCLR, SimCLRConfig
from unlearning.paradigms.supervised import Supervised, SupervisedConfig
from unlearning.records import Records
from unlearning.seeding import generator, initialisation
from unlearning.training import OptimisationConfig, train

os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
settings.register_profile("tests", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("tests")

NO_AUGMENTATION = AugmentationConfig(crop_min_scale=1, flip=0, brightness=0, contrast=0)


def random_records(count: int, seed: int = 0, shape: tuple[int, int, int] = (1, 4, 4), classes: int = 2) -> Records:
    draw = generator(seed, "noise")
    images = torch.randint(256, (count, *shape), generator=draw).to(torch.uint8)
    return Records(images, torch.randint(classes, (count,), generator=draw))


def small_model(
    paradigm: Paradigm,
    seed: int = 0,
    hidden: tuple[int, ...] = (12,),
    shape: tuple[int, int, int] = (1, 4, 4),
    classes: int = 2,
) -> Model:
    with initialisation(seed, "test"):
        return paradigm.build(MLPConfig(hidden=hidden), shape, tuple("abcdefghij"[:classes]))


@pytest.fixture
def noise() -> Callable[..., Records]:
    """Records with random pixels and labels: nothing to learn but the records themselves."""
    return random_records


@pytest.fixture
def separable() -> Callable[..., Records]:
    """Records of two classes, dark and bright, that any encoder can tell apart."""

    def make(count: int, seed: int = 0) -> Records:
        draw = generator(seed, "separable")
        labels = torch.arange(count) % 2
        pixels = torch.randint(0, 100, (count, 1, 4, 4), generator=draw) + 150 * labels[:, None, None, None]
        return Records(pixels.to(torch.uint8), labels)

    return make


@pytest.fixture
def simclr() -> SimCLR:
    return SimCLR(SimCLRConfig(temperature=0.5, projector_hidden=(8,), projection=6))


@pytest.fixture
def supervised() -> Supervised:
    return Supervised(SupervisedConfig(augmentation=NO_AUGMENTATION))


@pytest.fixture
def build_model() -> Callable[..., Model]:
    """A small MLP with the paradigm's head and weights that follow from the seed."""
    return small_model


@dataclass(frozen=True)
class Memorised:
    """A model that learned 48 members of pure noise by heart, and 48 strangers it never saw."""

    model: Model
    paradigm: Paradigm
    members: Records
    strangers: Records


@cache
def memorise(name: str, seed: int) -> Memorised:
    weak = AugmentationConfig(crop_min_scale=0.8, flip=0, brightness=0.1, contrast=0.1)
    paradigm: Paradigm = Supervised(SupervisedConfig(augmentation=weak))
    if name == "simclr":
        settings = SimCLRConfig(temperature=0.2, projector_hidden=(32,), projection=16, augmentation=weak)
        paradigm = SimCLR(settings)
    records = random_records(96, seed)
    model = small_model(paradigm, seed, hidden=(64,))
    config = OptimisationConfig(epochs=80, batch_size=48, learning_rate=0.01)
    train(model, paradigm, records[:48], config, seed=seed)
    return Memorised(model, paradigm, records[:48], records[48:])


@pytest.fixture
def memorised() -> Callable[[str, int], Memorised]:
    """One overfitted model per paradigm and seed, trained once per session: clone before changing it."""
    return memorise
