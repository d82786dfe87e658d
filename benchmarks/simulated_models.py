"""Models that are drawn and not trained: what references, and a model under audit whose right verdict is known, would
show of every record.

The confidence of record i, on the logit scale, is

    level_i + memory_i · (what training on it left) + noise of the model and the record + noise of the query

with levels and memories that all models share: an easy record is easy for every model, and training on a record teaches
more of some than of others. Every further signal is that confidence with noise of its own, so that all attacks err
together to a degree, as real ones do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from unlearning.audit.attacks import MembershipScores
from unlearning.audit.attacks.threshold import threshold
from unlearning.audit.policy import Margins
from unlearning.audit.reference_baseline import AuditedModel, ReferenceBaseline
from unlearning.audit.references.signals import References, ReferencesManifest
from unlearning.audit.references.training import halves
from unlearning.audit.results import Outcome
from unlearning.audit.signals import ENCODER_SIGNALS, NAMES, SIGNALS, Measured, SignalConfig

Array = npt.NDArray[np.float64]

QUERIES = 4
OF_MODEL, OF_QUERY, OF_SIGNAL = 0.5, 0.4, 0.8
"""Standard deviations of the noises; levels have 1."""
MEMORY = 1.2
"""Mean of the memories, which are exponential: most records teach little, a few very much."""
RETAINED = 20
"""Retained members, whom no attack of these looks at."""
LIFTED = "length"
SURE = 8.0
"""Confidence that nobody has who was not trained on a record."""


@dataclass(frozen=True)
class SimulatedWorld:
    """Forgotten records and a holdout, and references trained on halves of the members."""

    levels: Array
    """(F + H,)."""
    memories: Array
    """(F,)."""
    forgotten: ReferenceBaseline
    draw: np.random.Generator

    def shown(self, kept: Array, lifted: float = 0.0) -> AuditedModel:
        """What a model shows that keeps so much, in logits, of each forgotten record, and whose signal `LIFTED` alone
        is larger for them."""
        whole = _measured(self.levels, kept, self.draw)
        whole.encoder[LIFTED][: len(self.memories)] += lifted
        rows = np.arange(len(self.levels))
        count = len(self.memories)
        return AuditedModel(whole.rows(rows[:count]), whole.rows(rows[count:]), whole.rows(rows[:RETAINED]))


def _measured(levels: Array, kept: Array, draw: np.random.Generator) -> Measured:
    centre = levels + np.append(kept, np.zeros(len(levels) - len(kept))) + draw.normal(0, OF_MODEL, len(levels))
    confidences = centre[:, None] + draw.normal(0, OF_QUERY, (len(levels), QUERIES))
    losses = np.logaddexp(0, -confidences)
    values = {name: centre + draw.normal(0, OF_SIGNAL, len(levels)) for name in NAMES} | {"loss": -losses.mean(axis=1)}
    return Measured(
        signals={name: values[name] for name in SIGNALS},
        encoder={name: values[name] for name in ENCODER_SIGNALS},
        losses=losses,
    )


def world(seed: int, *, forgotten: int, holdout: int, references: int) -> SimulatedWorld:
    """Draw everything but the audited model.

    Args:
        seed: of all draws.
        forgotten, holdout, references: how many.
    """
    draw = np.random.default_rng(seed)
    levels, memories = draw.normal(size=forgotten + holdout), draw.exponential(MEMORY, forgotten)
    trained = halves(forgotten, references, seed)
    shown = [_measured(levels, memories * mask, draw) for mask in trained]
    manifest = ReferencesManifest(
        original="simulated",
        split="simulated",
        count=references,
        seed=seed,
        signals=SignalConfig(queries=QUERIES),
        numbers=tuple(range(references)),
        seconds=(0.0,) * references,
    )
    values = {name: np.stack([(each.signals | each.encoder)[name] for each in shown]) for name in NAMES}
    losses = np.stack([each.losses for each in shown])
    found = References(
        manifest=manifest,
        trained=trained,
        members={name: value[:, :forgotten] for name, value in values.items()},
        holdout={name: value[:, forgotten:] for name, value in values.items()},
        member_losses=losses[:, :forgotten],
        holdout_losses=losses[:, forgotten:],
    )
    return SimulatedWorld(levels, memories, ReferenceBaseline(found, np.arange(forgotten)), draw)


def simple_attacks(model: AuditedModel, seed: int) -> dict[str, MembershipScores]:
    """Every signal as an attack. Learned attacks are left out: they would take nearly all of the time."""
    signals = model.signals
    found = {name: threshold(name)(signals, seed) for name in SIGNALS}
    encoder = model.encoder
    return found | {name: threshold(name)(encoder, seed) for name in ENCODER_SIGNALS if name not in found}


Kept = Callable[[SimulatedWorld], Array]
"""(F,) what a model keeps of each forgotten record, in logits."""


def some_for_sure(share: float) -> Kept:
    """So many records are recognised for sure, and nothing is seen of the others."""

    def kept(world: SimulatedWorld) -> Array:
        count = len(world.memories)
        chosen = world.draw.permutation(count) < round(share * count)
        return np.where(chosen, SURE, 0.0)

    return kept


def of_memory(share: float, *, offset: bool) -> Kept:
    """This share of each record's memory; without the offset its mean is taken away."""

    def kept(world: SimulatedWorld) -> Array:
        left = share * world.memories
        return np.asarray(left if offset else left - left.mean())

    return kept


def never_trained(world: SimulatedWorld) -> Array:
    """Nothing of any record, as a model that was trained without them."""
    return np.zeros(len(world.memories))


def pushed_down(by: float) -> Kept:
    """Every record less familiar than to a model not trained on it."""
    return lambda world: np.full(len(world.memories), -by)


@dataclass(frozen=True)
class Kind:
    """Models of which is known what should be said."""

    kept: Kept
    wrong: tuple[Outcome, ...]
    """Verdicts that are mistakes."""
    at_most: float
    """How often they may be given."""
    lifted: float = 0.0


FALSE_ALARMS: tuple[Outcome, ...] = ("leaks", "over_forgotten")
ON_THE_MARGIN = math.sqrt(2 * (1 + OF_MODEL**2 + OF_SIGNAL**2)) * float(norm.ppf(0.5 + Margins().auc_margin))
"""By how much a signal is larger whose AUC lies on the margin."""

KINDS: dict[str, Kind] = {
    "never trained": Kind(never_trained, FALSE_ALARMS, 0.05),
    "exactly retrained": Kind(never_trained, FALSE_ALARMS, 0.05),
    "untouched": Kind(of_memory(1.0, offset=True), ("passed",), 0.05),
    "one AUC on the margin": Kind(never_trained, ("passed",), 0.05, ON_THE_MARGIN),
    "memory on the margin": Kind(of_memory(Margins().memory_margin, offset=False), ("passed",), 0.05),
    "5 % recognised for sure": Kind(some_for_sure(0.05), ("passed",), 0.10),
    "10 % recognised for sure": Kind(some_for_sure(0.10), ("passed",), 0.05),
    "mean right, memory untouched": Kind(of_memory(0.8, offset=False), ("passed",), 0.05),
    "over-forgotten": Kind(pushed_down(0.8), ("passed",), 0.05),
}
"""By name. The exactly retrained model is compared with another of its kind, all others with the references."""
