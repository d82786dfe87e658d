from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from unlearning.audit.qualification.plan import draw
from unlearning.audit.qualification.shown import Shown, show
from unlearning.audit.reference_baseline import ReferenceBaseline
from unlearning.audit.signals import Measured

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Simulated:
    """Sets of records, forgotten each by a model of its own, and what the models show."""

    rows: npt.NDArray[np.intp]
    pool: ReferenceBaseline
    models: list[tuple[Measured, Measured]]
    """What each shows of members and holdout."""
    shown: list[Shown]


def forgotten(world: Any, rows: npt.NDArray[np.intp], left: float) -> tuple[Measured, Measured]:
    """What a model shows of members and holdout that still knows `left` times the leak of `rows`."""
    count = len(world.difficulty)
    trained = (np.arange(count) < world.members).astype(np.float64)
    trained[rows] = left
    whole = world.measured(trained)
    return whole.rows(np.arange(world.members)), whole.rows(np.arange(world.members, count))


def shown_by(
    model: tuple[Measured, Measured], pool: ReferenceBaseline, number: int, size: int, scale: float, seed: int
) -> Shown:
    members = pool.references.trained.shape[1]
    own = np.arange(number * size, (number + 1) * size)
    retained = np.setdiff1d(np.arange(members), pool.rows[own])
    return show(*model, own, pool=pool, left_out=pool.left_out, retained=retained, scale=scale, seed=seed)


def simulate(synthetic: Any, *, sets: int, size: int, left: float, seed: int, **more: Any) -> Simulated:
    world = synthetic(**{"members": 80, "holdout": 50, "count": 8, "seed": seed} | more)
    rows = draw(world.members, size, sets, seed)
    pool = ReferenceBaseline(world.references, rows.reshape(-1))
    models, scale = [forgotten(world, each, left) for each in rows], pool.rmia_scale
    shown = [shown_by(model, pool, number, size, scale, seed) for number, model in enumerate(models)]
    return Simulated(rows, pool, models, shown)


@pytest.fixture
def simulated(synthetic: Any) -> Callable[..., Simulated]:
    """Simulated sets: `simulated(sets=…, size=…, left=…, seed=…)`."""
    return lambda **given: simulate(synthetic, **given)
