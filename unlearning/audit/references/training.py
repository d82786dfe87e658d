"""Reference models: the same training on random halves of the members.

Every member is outside half of them, so together they show how a record looks to models that never
saw it, for any later forget set, without retraining (the shadow models of Carlini et al. 2022,
2112.03570, and Zarifzadeh et al. 2024, 2312.03262). The holdout is outside all of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from unlearning.audit.signals import Measured, SignalConfig, measure_each
from unlearning.core.progress import suppress_progress, track
from unlearning.core.seeding import derive, initialisation
from unlearning.data.records import Records, concatenate
from unlearning.learning.checkpoint import Checkpoint
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.training import TrainingConfig, train

Mask = npt.NDArray[np.bool_]

TOGETHER = 4
"""Most models that are measured on the same views at once, so that these are drawn once; more would gain little."""


def halves(records: int, count: int, seed: int) -> Mask:
    """Which reference is trained on which record.

    References 2j and 2j + 1 divide the records between them, so that every record is outside
    exactly half of the references.

    Args:
        records: N ≥ 2.
        count: K, even.
        seed: of the draw.

    Returns:
        (K, N), true where reference k is trained on record n.
    """
    if count % 2 or records < 2:
        raise ValueError(f"{count} references of {records} records: an even count and two records are needed")
    draw = np.random.default_rng(derive(seed, "reference halves"))
    trained = np.zeros((count, records), dtype=bool)
    for first in range(0, count, 2):
        order = draw.permutation(records)
        trained[first, order[: records // 2]] = True
        trained[first + 1] = ~trained[first]
    return trained


@dataclass(frozen=True)
class ReferenceModel:
    """One trained reference and what it shows of members and holdout."""

    number: int
    model: Model
    measured: Measured
    """Members first, then holdout, each in the split's order."""
    seconds: float
    """Training alone, without what an interrupted task had done before."""


@dataclass(frozen=True)
class ReferenceTraining:
    """Everything that is the same for every reference of one original."""

    build: Callable[[], Model]
    """A model with weights from torch's global generator."""
    paradigm: Paradigm
    members: Records
    holdout: Records
    training: TrainingConfig
    signals: SignalConfig
    count: int
    seed: int
    checkpoints: Mapping[int, Checkpoint] = field(default_factory=dict)
    """By number, where the training of a reference is saved, and goes on from."""

    @property
    def trained(self) -> Mask:
        """(K, N) which reference is trained on which member."""
        return halves(len(self.members), self.count, self.seed)


def _train(number: int, untrained: Model, given: ReferenceTraining) -> tuple[Model, float]:
    """The reference `number` and the seconds its training took."""
    rows = torch.from_numpy(given.trained[number].nonzero()[0]).to(given.members.images.device)
    begun = time.perf_counter()
    with suppress_progress():
        model = train(
            untrained,
            given.paradigm,
            given.members[rows],
            given.training,
            seed=given.seed,
            purpose=_purpose(number),
            checkpoint=given.checkpoints.get(number),
        )
    return model, time.perf_counter() - begun


def _purpose(number: int) -> str:
    return f"reference {number}"


@contextmanager
def _side_by_side(device: torch.device) -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Threads that work on references at once, and how many: small models gain more from a core each than
    from sharing all of them; a GPU is given one at a time."""
    if device.type != "cpu":
        with ThreadPoolExecutor(1) as pool:
            yield pool, 1
        return
    threads = torch.get_num_threads()
    workers = min(threads, os.cpu_count() or 1)
    torch.set_num_threads(1)
    try:
        # The setting belongs to a thread: each of them makes it.
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool, workers
    finally:
        torch.set_num_threads(threads)


def make_references(given: ReferenceTraining, numbers: Sequence[int]) -> list[ReferenceModel]:
    """Train the references `numbers` of `given.count`, and measure what they show.

    A reference depends on its number and the seed alone: any division of the numbers over machines
    gives the same models.

    Raises:
        TrainingDivergedError: one did not train.
    """
    device = given.members.images.device
    untrained = []
    for number in numbers:  # one after another: weights come from a global generator
        with initialisation(given.seed, _purpose(number)):
            untrained.append(given.build().to(device))
    with _side_by_side(device) as (pool, workers):
        trained = []
        with track("references", len(numbers)) as advance:
            for model, seconds in pool.map(_train, numbers, untrained, [given] * len(numbers)):
                trained.append((model, seconds))
                advance(f"{seconds:.0f} s each")
        measured = _measure([model for model, _ in trained], given, pool, workers)
    return [
        ReferenceModel(number, model, shown, seconds)
        for number, (model, seconds), shown in zip(numbers, trained, measured, strict=True)
    ]


def _measure(
    models: Sequence[Model], given: ReferenceTraining, pool: ThreadPoolExecutor, workers: int
) -> list[Measured]:
    """What the models show. The seed of the views is the same for all of them, as it is for all models of an audit."""
    audited, measured = concatenate(given.members, given.holdout), []
    size = max(1, min(TOGETHER, -(-len(models) // workers)))  # a few models too are shared out to all workers

    def one(share: Sequence[Model]) -> list[Measured]:
        return measure_each(share, given.paradigm, audited, given.signals, seed=given.seed)

    with track("signals of references", len(models)) as advance:
        for shown in pool.map(one, [models[first : first + size] for first in range(0, len(models), size)]):
            measured += shown
            for _ in shown:
                advance("")
    return measured
