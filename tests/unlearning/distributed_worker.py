"""Trains and unlearns small models; run by one process or by several, it must come to the same."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.conftest import random_records
from unlearning.core.seeding import initialisation
from unlearning.data.augmentations import AugmentationConfig
from unlearning.data.records import Records
from unlearning.learning import distributed
from unlearning.learning.encoders import EncoderConfig, MLPConfig, SmallResNetConfig
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.paradigms.byol import BYOL, BYOLConfig
from unlearning.learning.paradigms.moco import MoCo, MoCoConfig
from unlearning.learning.paradigms.simclr import SimCLR, SimCLRConfig
from unlearning.learning.paradigms.supervised import Supervised, SupervisedConfig
from unlearning.learning.training import OptimisationConfig, train
from unlearning.methods.gradient_matching import GradientMatchingConfig, stage_1, stage_2

VIEWS = AugmentationConfig(crop_min_scale=0.8, flip=0.5, brightness=0.1, contrast=0.1)
HEAD: dict[str, Any] = {"projector_hidden": (8,), "projection": 6, "augmentation": VIEWS}
PARADIGMS: dict[str, Paradigm] = {
    "simclr": SimCLR(SimCLRConfig(temperature=0.5, **HEAD)),
    "moco": MoCo(MoCoConfig(temperature=0.5, momentum=0.9, queue=24, symmetric=True, **HEAD)),
    "byol": BYOL(BYOLConfig(momentum=0.9, predictor_hidden=(8,), **HEAD)),
    "supervised": Supervised(SupervisedConfig(augmentation=VIEWS)),
}
ENCODERS: dict[str, EncoderConfig] = {"mlp": MLPConfig(hidden=(12,)), "resnet": SmallResNetConfig(width=2)}
STEPS = OptimisationConfig(epochs=2, batch_size=16, optimiser="sgd", learning_rate=0.05, clip_norm=5.0)
"""Fifty records make batches of 12 and 13: not every process gets as many rows."""
PENALTY = GradientMatchingConfig(
    optimisation=OptimisationConfig(epochs=1, batch_size=16, optimiser="sgd", learning_rate=0.02),
    weight=0.1,
    forget_batch=9,
    match="quantiles",
    distillation=0.3,
    tolerance=0.05,
    rest=1,
)


class Recording:
    """A paradigm that keeps the mean of every loss it gives, and computes in the precision it is told."""

    def __init__(self, paradigm: Paradigm, dtype: torch.dtype) -> None:
        self.paradigm, self.dtype = paradigm, dtype
        self.losses: list[Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.paradigm, name)

    def views(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return self.paradigm.views(images, generator).to(self.dtype)

    def per_sample_loss(self, *given: Any, **named: Any) -> Tensor:
        losses = self.paradigm.per_sample_loss(*given, **named)
        self.losses.append(losses.detach().mean())
        return losses


def made(paradigm: str, encoder: str) -> Model:
    with initialisation(0, "distributed"):
        return PARADIGMS[paradigm].build(ENCODERS[encoder], (1, 6, 6), ("a", "b"))


def results(encoders: Iterable[str] = ENCODERS) -> dict[str, Tensor]:
    """Weights and losses of everything, by name."""
    found: dict[str, Tensor] = {}
    for paradigm in PARADIGMS:
        for encoder in encoders:
            found |= trained(paradigm, encoder, torch.float32)[1]
            found |= unlearned(paradigm, encoder)
    return found


def kept(name: str, model: Model, recording: Recording) -> dict[str, Tensor]:
    weights = {f"{name}.{key}": value.clone() for key, value in model.state_dict().items()}
    return weights | {f"{name}.losses": torch.stack(recording.losses)}


def records() -> tuple[Records, Records, Records]:
    """Members, those of them to forget, and non-members."""
    one, two, three = (random_records(count, seed, (1, 6, 6)) for seed, count in enumerate((50, 21, 30)))
    return one, two, three


def trained(paradigm: str, encoder: str, dtype: torch.dtype) -> tuple[Model, dict[str, Tensor]]:
    model, recording = made(paradigm, encoder).to(dtype), Recording(PARADIGMS[paradigm], dtype)
    train(model, recording, records()[0], STEPS, seed=1)
    name = "single precision" if dtype is torch.float32 else "trained"
    return model, kept(f"{paradigm}.{encoder}.{name}", model, recording)


def unlearned(paradigm: str, encoder: str) -> dict[str, Tensor]:
    """In double precision: in single precision a few steps of the penalty make rounding visible."""
    model, found = trained(paradigm, encoder, torch.float64)
    members, forget, non_members = records()
    given: dict[str, Any] = {"retain": members, "forget": forget, "config": PENALTY, "seed": 2}
    first, recording = model.clone(), Recording(PARADIGMS[paradigm], torch.float64)
    stage_1(first, recording, calibration=non_members, **given)
    found |= kept(f"{paradigm}.{encoder}.stage 1", first, recording)
    second, recording = model.clone(), Recording(PARADIGMS[paradigm], torch.float64)
    second.spec = second.spec.model_copy(update={"gradient_target": (-3.0, -2.0, -1.0)})
    stage_2(second, recording, **given)
    return found | kept(f"{paradigm}.{encoder}.stage 2", second, recording)


def main(folder: Path, *encoders: str) -> None:
    """Leave this process's results in the folder."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with distributed.group("cpu"):
        found = results(encoders)
        save_file(found, str(folder / f"{torch.distributed.get_rank()}.safetensors"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
