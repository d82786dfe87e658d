from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from unlearning.audit.reference_baseline import AuditedModel
from unlearning.audit.references.signals import References, ReferencesManifest
from unlearning.audit.references.training import Mask, halves
from unlearning.audit.signals import ENCODER_SIGNALS, NAMES, SIGNALS, Measured, SignalConfig

Array = npt.NDArray[np.float64]
QUERIES = 2


class Synthetic:
    """A world where every record has its own difficulty, and training on it lowers its loss by `leak`."""

    def __init__(self, *, members: int, holdout: int, count: int, seed: int, leak: float = 1.0) -> None:
        self.draw = np.random.default_rng(seed)
        self.members, self.leak = members, leak
        self.difficulty = self.draw.normal(size=members + holdout)
        trained = halves(members, count, seed)
        shown = [self.measured(np.append(mask, np.zeros(holdout, dtype=bool))) for mask in trained]
        both = [{**each.signals, **each.encoder} for each in shown]
        signals = {name: np.stack([each[name] for each in both]) for name in both[0]}
        losses = np.stack([each.losses for each in shown])
        self.references = References(
            manifest=ReferencesManifest(
                original="a" * 64,
                split="b" * 64,
                count=count,
                seed=seed,
                signals=SignalConfig(queries=QUERIES),
                numbers=tuple(range(count)),
                seconds=(1.0,) * count,
            ),
            trained=trained,
            members={name: value[:, :members] for name, value in signals.items()},
            holdout={name: value[:, members:] for name, value in signals.items()},
            member_losses=losses[:, :members],
            holdout_losses=losses[:, members:],
        )

    def measured(self, trained: Mask, leak: float | None = None) -> Measured:
        """What a model shows of all records, members first."""
        strength = self.leak if leak is None else leak
        level = self.difficulty - strength * trained
        count = len(self.difficulty)
        values = {name: -level + self.draw.normal(scale=0.5, size=count) for name in NAMES}
        losses = np.log1p(np.exp(level[:, None] + self.draw.normal(scale=0.5, size=(count, QUERIES))))
        return Measured(
            signals={name: values[name] for name in SIGNALS},
            encoder={name: values[name] for name in ENCODER_SIGNALS},
            losses=losses,
        )

    def model(self, forgotten: int, left: float) -> AuditedModel:
        """A model trained on all members; of the first `forgotten` it still knows `left` times the leak."""
        trained = np.arange(len(self.difficulty)) < self.members
        rows = np.arange(len(trained))
        full, rest = self.measured(trained), self.measured(trained, self.leak * left)

        return AuditedModel(
            forget=rest.rows(rows[:forgotten]),
            holdout=full.rows(rows[self.members :]),
            retained=full.rows(rows[forgotten : self.members]),
        )


@pytest.fixture
def synthetic() -> Callable[..., Synthetic]:
    """Worlds with known leaks."""
    return Synthetic
