"""What an audit would say of a model that never saw the forget set, without training one.

Every reference model never saw half of the forgotten records. It is put in the place of the audited
model, over those records, and the means over all references say what each attack should find.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlearning.audit.attacks import ATTACKS, REFERENCE_ATTACKS, AuditedSignals, MembershipScores, representation
from unlearning.audit.attacks.referenced import Mask, ReferencedLosses
from unlearning.audit.reference_models import halves
from unlearning.audit.references import References
from unlearning.audit.signals import ENCODER_SIGNALS, SIGNALS, Measured
from unlearning.audit.statistics import Scores, placements
from unlearning.seeding import derive

Array = npt.NDArray[np.float64]
Placements = tuple[Scores, Scores]
"""(F,) and (H,) placements, see `statistics.placements`."""


@dataclass(frozen=True)
class Forgotten:
    """References and the rows of the members that are forgotten."""

    references: References
    rows: npt.NDArray[np.intp]
    """(F,)."""

    @property
    def trained(self) -> Mask:
        """(K, F)."""
        return self.references.trained[:, self.rows]

    @property
    def left_out(self) -> Mask:
        """(K, H), see `ReferencedLosses`."""
        count, holdout = self.references.holdout_losses.shape[:2]
        return halves(holdout, count, self.references.manifest.seed)


@dataclass(frozen=True)
class AuditedModel:
    """Everything measured of one model, by group of records."""

    forget: Measured
    holdout: Measured
    retained: Measured

    @property
    def signals(self) -> AuditedSignals:
        """What the whole model shows."""
        return AuditedSignals(self.forget.signals, self.holdout.signals, self.retained.signals)

    @property
    def encoder(self) -> AuditedSignals:
        """What the encoder's output alone shows."""
        return AuditedSignals(self.forget.encoder, self.holdout.encoder, self.retained.encoder)


def attack_model(model: AuditedModel, forgotten: Forgotten | None, seed: int) -> dict[str, MembershipScores]:
    """Every attack's scores on one model; those that need references where there are any."""
    found = {name: attack(model.signals, derive(seed, name)) for name, attack in ATTACKS.items()}
    found["representation"] = representation(model.encoder, derive(seed, "representation"))
    if forgotten is not None:
        losses = _losses(model.forget.losses, model.holdout.losses, forgotten)
        found |= {name: attack(losses) for name, attack in REFERENCE_ATTACKS.items()}
    return found


def _losses(forget: Array, holdout: Array, forgotten: Forgotten) -> ReferencedLosses:
    references = forgotten.references
    return ReferencedLosses(
        forget=forget,
        holdout=holdout,
        reference_forget=references.member_losses[:, forgotten.rows],
        reference_holdout=references.holdout_losses,
        trained=forgotten.trained,
        left_out=forgotten.left_out,
    )


def as_audited(references: References, number: int, rows: npt.NDArray[np.intp]) -> AuditedModel:
    """A reference as if it were the audited model: forgotten are `rows`, retained what else it was trained on."""

    def some(rows: npt.NDArray[np.intp], losses: Array, values: Mapping[str, Array]) -> Measured:
        found = {name: np.asarray(value[number][rows]) for name, value in values.items()}
        return Measured(
            signals={name: found[name] for name in SIGNALS},
            encoder={name: found[name] for name in ENCODER_SIGNALS},
            losses=losses[number][rows],
        )

    holdout = np.arange(references.holdout_losses.shape[1])
    return AuditedModel(
        forget=some(rows, references.member_losses, references.members),
        holdout=some(holdout, references.holdout_losses, references.holdout),
        retained=some(
            np.setdiff1d(references.trained[number].nonzero()[0], rows), references.member_losses, references.members
        ),
    )


def without(references: References, number: int) -> References:
    """The other references."""
    others = np.arange(len(references.trained)) != number
    return References(
        manifest=references.manifest,
        trained=references.trained[others],
        members={name: np.asarray(value)[others] for name, value in references.members.items()},
        holdout={name: np.asarray(value)[others] for name, value in references.holdout.items()},
        member_losses=references.member_losses[others],
        holdout_losses=references.holdout_losses[others],
    )


def _each(forgotten: Forgotten, seed: int) -> Iterator[tuple[Mask, dict[str, MembershipScores]]]:
    """Which forgotten records a reference never saw, and every attack's scores over them."""
    references = forgotten.references
    for number in range(len(references.trained)):
        outside = ~forgotten.trained[number]
        if not outside.any():
            continue
        model = as_audited(references, number, forgotten.rows[outside])
        found = {name: attack(model.signals, derive(seed, name)) for name, attack in ATTACKS.items()}
        found["representation"] = representation(model.encoder, derive(seed, "representation"))
        losses = _leave_one_out(forgotten, number, outside, model)
        for name, attack in REFERENCE_ATTACKS.items():
            if name != "lira_online":
                found[name] = attack(losses)
        yield outside, found


def _leave_one_out(forgotten: Forgotten, number: int, outside: Mask, model: AuditedModel) -> ReferencedLosses:
    """The others' losses. A holdout record is asked of as many of them as a forgotten one."""
    others = np.arange(len(forgotten.trained)) != number
    left_out = forgotten.left_out
    # Seen from this reference: where it is left out itself, the other half of the references is asked.
    left_out = np.where(left_out[number], ~left_out, left_out)[others]
    return ReferencedLosses(
        forget=model.forget.losses,
        holdout=model.holdout.losses,
        reference_forget=forgotten.references.member_losses[others][:, forgotten.rows[outside]],
        reference_holdout=forgotten.references.holdout_losses[others],
        trained=forgotten.trained[others][:, outside],
        left_out=left_out,
    )


def out_of_training(forgotten: Forgotten, seed: int) -> dict[str, Placements]:
    """For each attack, the placements that models show which never saw the records.

    A forgotten record's is its mean over the references that never saw it, a holdout record's over all.
    `lira_online` compares with those very models, so that by symmetry one of them is placed at ½.

    Args:
        forgotten: with at least 8 references.
        seed: of the folds, the audit's own.
    """
    count, holdout = len(forgotten.rows), forgotten.references.holdout_losses.shape[1]
    sums: dict[str, list[Array]] = {}
    seen = np.zeros(count)
    models = 0
    for outside, scores in _each(forgotten, seed):
        seen += outside
        models += 1
        for name, each in scores.items():
            of_forgotten, of_holdout = sums.setdefault(name, [np.zeros(count), np.zeros(holdout)])
            placed = placements(*each.pair)
            of_forgotten[outside] += placed[0]
            of_holdout += placed[1]
    return {name: (of_forgotten / seen, of_holdout / models) for name, (of_forgotten, of_holdout) in sums.items()}
