"""An epoch of SimCLR against lightly's loader, transforms and loss."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.speed_rows import Goal, Ratio, interleaved, ratio
from benchmarks.workbench import Bench
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms.simclr import SimCLRConfig
from unlearning.learning.training import OptimisationConfig, make_optimiser, train

GOAL = Goal(side="at least", bound=3.0)
WORKERS = (0, 1)
INSTALL = "an epoch of lightly's SimCLR: lightly is missing: pip install --editable '.[benchmark]', then run again"


def installed() -> bool:
    """Whether lightly can be imported, with all that it imports itself."""
    try:
        import lightly.loss
        import lightly.transforms  # noqa: F401 - asked for, not used
    except ImportError:
        return False
    return True


class _Images(Dataset[Any]):
    """Images as torchvision's data sets give them: one PIL image at a time, through the transform."""

    def __init__(self, records: Records, transform: Callable[[Image.Image], Any]) -> None:
        self.arrays = records.images.permute(0, 2, 3, 1).numpy()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, row: int) -> Any:
        pixels = self.arrays[row]
        return self.transform(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def _loader(members: Records, config: SimCLRConfig, batch_size: int, workers: int) -> DataLoader[Any]:
    """Lightly's transform as close to the recipe's augmentation as it goes, and what it does not share left out."""
    from lightly.transforms import SimCLRTransform

    wanted = config.augmentation
    transform = SimCLRTransform(
        input_size=members.images.shape[-1],
        cj_prob=1.0,
        cj_bright=wanted.brightness,
        cj_contrast=wanted.contrast,
        cj_sat=0.0,
        cj_hue=0.0,
        min_scale=wanted.crop_min_scale,
        random_gray_scale=wanted.grayscale,
        gaussian_blur=0.0,
        hf_prob=wanted.flip,
        normalize=None,
    )
    return DataLoader(
        _Images(members, transform), batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )


def _lightly_epochs(
    model: Model, loader: DataLoader[Any], temperature: float, config: OptimisationConfig
) -> Callable[[], None]:
    """Epochs as lightly's own SimCLR example takes them: each view through the model by itself."""
    from lightly.loss import NTXentLoss

    loss_of = NTXentLoss(temperature=temperature)

    def run() -> None:
        trained = model.clone().train()
        optimiser = make_optimiser(trained, config)
        for _ in range(config.epochs):
            total = torch.zeros(())
            for first, second in loader:
                loss: Tensor = loss_of(trained(first), trained(second))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                total += loss.detach()

    return run


def simclr_epochs(bench: Bench, *, epochs: int, repeats: int) -> list[Ratio]:
    """Lightly's seconds over ours, its images loaded in this process and by one worker beside it."""
    settings = bench.recipe.paradigm
    assert isinstance(settings, SimCLRConfig)
    members = bench.records(bench.split.members)
    config = bench.recipe.training.model_copy(update={"epochs": epochs})
    steps = math.ceil(len(members) / config.batch_size)
    batch_size = math.ceil(len(members) / steps)  # ours are equal; so are lightly's
    pieces: dict[str, Callable[[], object]] = {
        "ours": lambda: train(bench.original.clone(), bench.paradigm, members, config, seed=bench.seed)
    }
    for workers in WORKERS:
        loader = _loader(members, settings, batch_size, workers)
        assert len(loader) == steps
        pieces[f"num_workers={workers}"] = _lightly_epochs(bench.original, loader, settings.temperature, config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lightly's own uses of torchvision
        seconds = interleaved(pieces, repeats)
    ours = seconds.pop("ours")
    return [
        ratio("lightly's epoch", "ours", "simclr", taken, ours, goal=GOAL, units=epochs, note=note)
        for note, taken in seconds.items()
    ]
