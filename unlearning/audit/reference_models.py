"""Reference models: the same training on random halves of the members.

Every member is outside half of them, so together they show how a record looks to models that never
saw it, for any later forget set, without retraining (the shadow models of Carlini et al. 2022,
2112.03570, and Zarifzadeh et al. 2024, 2312.03262). The holdout is outside all of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from unlearning.audit.signals import Measured, SignalConfig, measure
from unlearning.models import Model
from unlearning.paradigms import Paradigm
from unlearning.progress import hushed, track
from unlearning.records import Records, concatenate
from unlearning.seeding import derive, initialisation
from unlearning.training import TrainingConfig, train

Mask = npt.NDArray[np.bool_]


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
class Reference:
    """One trained reference and what it shows of members and holdout."""

    number: int
    model: Model
    measured: Measured
    """Members first, then holdout, each in the split's order."""
    seconds: float
    """Training alone."""


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

    @property
    def trained(self) -> Mask:
        """(K, N) which reference is trained on which member."""
        return halves(len(self.members), self.count, self.seed)


def _make(number: int, untrained: Model, given: ReferenceTraining) -> Reference:
    device = given.members.images.device
    rows = torch.from_numpy(given.trained[number].nonzero()[0]).to(device)
    begun = time.perf_counter()
    with hushed():
        model = train(
            untrained, given.paradigm, given.members[rows], given.training, seed=given.seed, purpose=_purpose(number)
        )
    seconds = time.perf_counter() - begun
    # The seed of the views is the same for all references, as it is for all models of an audit.
    audited = concatenate(given.members, given.holdout)
    return Reference(number, model, measure(model, given.paradigm, audited, given.signals, seed=given.seed), seconds)


def _purpose(number: int) -> str:
    return f"reference {number}"


@contextmanager
def _one_thread_each(device: torch.device) -> Iterator[int]:
    """How many references are trained side by side: small models gain more from a core each than from
    sharing all of them; a GPU is given one at a time."""
    if device.type != "cpu":
        yield 1
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield min(threads, os.cpu_count() or 1)
    finally:
        torch.set_num_threads(threads)


def make_references(given: ReferenceTraining, numbers: Sequence[int]) -> list[Reference]:
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
    done = []
    with _one_thread_each(device) as workers, ThreadPoolExecutor(workers) as pool:

        def one(number: int, model: Model) -> Reference:
            if device.type == "cpu":
                torch.set_num_threads(1)  # the setting belongs to a thread
            return _make(number, model, given)

        with track("references", len(numbers)) as advance:
            for made in pool.map(one, numbers, untrained):
                done.append(made)
                advance(f"{made.seconds:.0f} s each")
    return done
