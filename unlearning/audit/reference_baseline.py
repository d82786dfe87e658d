"""What an audit would say of a model not trained on the forget set, without training one.

No reference model was trained on half of the forgotten records. It is put in the place of the audited
model, over those records, and the means over all references say what each attack should find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from unlearning.audit.attacks import (
    ASKING_REFERENCES,
    REFERENCE_ATTACKS,
    AuditedSignals,
    MembershipScores,
    ReferencedFeatures,
    attack_all,
    lira_encoder,
    representation,
    u_lira,
)
from unlearning.audit.attacks.lira_encoder import statistics_of
from unlearning.audit.attacks.referenced import Mask, ReferencedLosses, tuned_rmia_scale
from unlearning.audit.recognised import Recognised, recognised
from unlearning.audit.references.signals import References
from unlearning.audit.references.training import halves
from unlearning.audit.references.unlearned import UnlearnedReferences
from unlearning.audit.signals import Measured
from unlearning.audit.statistics import Scores, placements
from unlearning.core.seeding import derive
from unlearning.data.splits import Split

Array = npt.NDArray[np.float64]

ONLINE = "lira_online"
"""Judges a record by other models, see `attacks.referenced.lira_online`."""
Placements = tuple[Scores, Scores]
"""(F,) and (H,) placements, see `statistics.placements`."""


@dataclass(frozen=True)
class ReferenceBaseline:
    """References and the rows of the members that are forgotten."""

    references: References
    rows: npt.NDArray[np.intp]
    """(F,)."""
    unlearned: UnlearnedReferences | None = None
    """What some of them show that were made to forget these records too; None for none."""

    @classmethod
    def of(cls, references: References, split: Split, ids: Sequence[str]) -> ReferenceBaseline:
        """The rows of record ids, all of them members of the split."""
        rows = {identity: row for row, identity in enumerate(split.members)}
        return cls(references, np.asarray([rows[identity] for identity in ids]))

    @property
    def trained(self) -> Mask:
        """(K, F)."""
        return self.references.trained[:, self.rows]

    @property
    def left_out(self) -> Mask:
        """(K, H), see `ReferencedLosses`."""
        count, holdout = self.references.holdout_losses.shape[:2]
        return halves(holdout, count, self.references.manifest.seed)

    @cached_property
    def rmia_scale(self) -> float:
        """RMIA's a for these records, the same for every model that is audited, and for references in its place."""
        found = self.references
        return tuned_rmia_scale(found.member_losses[:, self.rows], found.holdout_losses, self.trained)


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


def own_attacks(model: AuditedModel, seed: int) -> dict[str, MembershipScores]:
    """The scores of every attack that needs no references."""
    represented = representation(model.encoder, derive(seed, "representation"))
    return attack_all(model.signals, seed) | {"representation": represented}


OwnAttacks = Callable[[AuditedModel, int], dict[str, MembershipScores]]
"""What is tried without references."""


def attack_model(
    model: AuditedModel, forgotten: ReferenceBaseline | None, seed: int, own: OwnAttacks = own_attacks
) -> dict[str, MembershipScores]:
    """Every attack's scores on one model; those that need references where there are any."""
    found = own(model, seed)
    if forgotten is not None:
        losses = referenced_losses(model, forgotten, forgotten.left_out, forgotten.rmia_scale)
        scores = asked(model, forgotten, forgotten.left_out, forgotten.rmia_scale)
        scores[ONLINE] = REFERENCE_ATTACKS[ONLINE](losses)
        found |= {name: scores[name] for name in ASKING_REFERENCES}
        if forgotten.unlearned is not None:
            found["u_lira"] = u_lira(_unlearned(losses, forgotten.unlearned))
    return found


def asked(
    model: AuditedModel, forgotten: ReferenceBaseline, left_out: Mask, rmia_scale: float
) -> dict[str, MembershipScores]:
    """Every attack that asks references about a record and judges it by its own model, which is all but online LiRA.

    Args:
        model: under attack.
        forgotten: the references that are asked.
        left_out, rmia_scale: see `ReferencedLosses`.
    """
    losses = referenced_losses(model, forgotten, left_out, rmia_scale)
    found = {name: attack(losses) for name, attack in REFERENCE_ATTACKS.items() if name != ONLINE}
    return found | {"lira_encoder": lira_encoder(_features(model, forgotten, left_out))}


def referenced_losses(
    model: AuditedModel, forgotten: ReferenceBaseline, left_out: Mask, rmia_scale: float
) -> ReferencedLosses:
    """Losses of the audited model beside those of the references."""
    return ReferencedLosses(
        forget=model.forget.losses,
        holdout=model.holdout.losses,
        reference_forget=forgotten.references.member_losses[:, forgotten.rows],
        reference_holdout=forgotten.references.holdout_losses,
        trained=forgotten.trained,
        left_out=left_out,
        rmia_scale=rmia_scale,
    )


def _unlearned(losses: ReferencedLosses, unlearned: UnlearnedReferences) -> ReferencedLosses:
    """Beside the references that were unlearned, as they are since."""
    count = len(unlearned.forget_losses)
    return replace(
        losses,
        reference_forget=unlearned.forget_losses,
        reference_holdout=unlearned.holdout_losses,
        trained=losses.trained[:count],
        left_out=losses.left_out[:count],
    )


def _features(model: AuditedModel, forgotten: ReferenceBaseline, left_out: Mask) -> ReferencedFeatures:
    return ReferencedFeatures(
        forget=statistics_of(model.forget.encoder),
        holdout=statistics_of(model.holdout.encoder),
        reference_members=statistics_of(forgotten.references.members),
        reference_holdout=statistics_of(forgotten.references.holdout),
        trained=forgotten.references.trained,
        rows=forgotten.rows,
        left_out=left_out,
    )


def as_audited(references: References, number: int, rows: npt.NDArray[np.intp]) -> AuditedModel:
    """A reference as if it were the audited model: forgotten are `rows`, retained what else it was trained on."""
    members, holdout = references.shown(number)
    retained = np.setdiff1d(references.trained[number].nonzero()[0], rows)
    return AuditedModel(members.rows(rows), holdout, members.rows(retained))


def without(references: References, number: int) -> References:
    """The other references."""
    return references.only(np.arange(len(references.trained)) != number)


def seen_from(forgotten: ReferenceBaseline, number: int) -> tuple[ReferenceBaseline, Mask]:
    """The other references with the forgotten records that this one was not trained on, and which are left out about
    the holdout."""
    left_out, outside = forgotten.left_out, ~forgotten.trained[number]
    others = ReferenceBaseline(without(forgotten.references, number), forgotten.rows[outside])
    # Where it is left out itself, the other half of the references is asked, so that a holdout record is asked of as
    # many as a forgotten one.
    return others, np.delete(np.where(left_out[number], ~left_out, left_out), number, axis=0)


def _each(
    forgotten: ReferenceBaseline, seed: int, own: OwnAttacks
) -> Iterator[tuple[Mask, dict[str, MembershipScores]]]:
    """Which forgotten records a reference was not trained on, and every attack's scores over them."""
    for number, outside in enumerate(~forgotten.trained):
        if not outside.any():
            continue
        model = as_audited(forgotten.references, number, forgotten.rows[outside])
        known = asked(model, *seen_from(forgotten, number), forgotten.rmia_scale)
        yield outside, own(model, seed) | known


@dataclass(frozen=True)
class OutOfTraining:
    """What an attack shows of a model not trained on the records: means over the references."""

    members: Array
    """(F,) placements."""
    non_members: Array
    """(H,) placements."""
    recognised: Recognised


def out_of_training(forgotten: ReferenceBaseline, seed: int, own: OwnAttacks = own_attacks) -> dict[str, OutOfTraining]:
    """For each attack, the placements that models not trained on the records show, and whom it recognises.

    A forgotten record's is its mean over the references not trained on it, a holdout record's over all.
    `lira_online` and `u_lira` compare with those very models, so that by symmetry one of them is placed at ½; see
    `recognised_online` for whom the first recognises.

    Args:
        forgotten: with at least 8 references.
        seed: of the folds, the audit's own.
        own: what is tried without references.
    """
    count, holdout = len(forgotten.rows), forgotten.references.holdout_losses.shape[1]
    sums: dict[str, tuple[Array, Array]] = {}
    seen = np.zeros(count)
    models = 0
    for outside, scores in _each(forgotten, seed, own):
        seen += outside
        models += 1
        for name, each in scores.items():
            of_forgotten, of_holdout = sums.setdefault(name, (np.zeros((2, count)), np.zeros((2, holdout))))
            placed, named = placements(*each.pair), recognised(each)
            of_forgotten[:, outside] += placed[0], named.forget
            of_holdout += placed[1], named.threshold
    return {
        name: OutOfTraining(
            of_forgotten[0] / seen,
            of_holdout[0] / models,
            Recognised(of_forgotten[1] / seen, of_holdout[1] / models),
        )
        for name, (of_forgotten, of_holdout) in sums.items()
    }
