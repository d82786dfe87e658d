"""What a model shows of the few records that it was made to forget, on scales that all models share.

Records of different models are to be put together. What a model shows of a record has a meaning beside its own
holdout alone: so every record comes with its place there, for each attack.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlearning.audit import logistic
from unlearning.audit.attacks import ASKING_REFERENCES
from unlearning.audit.attacks.base import MembershipScores
from unlearning.audit.attacks.combined import FOLDS, matrix
from unlearning.audit.attacks.referenced import (
    JACKKNIFE,
    Mask,
    ReferencedLosses,
    normal_scores,
    on_common_scale,
)
from unlearning.audit.recognised import Recognised, recognised
from unlearning.audit.reference_baseline import ONLINE, AuditedModel, Placements, ReferenceBaseline, asked
from unlearning.audit.signals import SIGNALS, Measured, Signals
from unlearning.audit.statistics import placements
from unlearning.core.seeding import derive

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

RECOGNISING = tuple(name for name in ASKING_REFERENCES if name != ONLINE)
"""Attacks with references that judge a record by its own model alone."""

ONE_BY_ONE = (*SIGNALS, "combined_retained", "representation", *RECOGNISING)
"""All attacks that do."""


@dataclass(frozen=True)
class Shown:
    """What one model shows of S forgotten records, beside H of the holdout."""

    placed: dict[str, Placements]
    """For each attack of `ONE_BY_ONE`, (S,) and (H,)."""
    signals: Array
    """(S, 4) `SIGNALS` as normal scores among the model's holdout."""
    holdout_signals: Array
    """(H, 4)."""
    confidences: Array
    """(1 + JACKKNIFE, S, Q) logit confidences as normal scores, among the whole holdout and without each tenth."""
    averages: Array
    """(1 + JACKKNIFE, S) the same of the mean confidence of each record."""
    recognised: dict[str, Recognised]
    """Who is recognised by each attack of `RECOGNISING`."""


def jackknifed(holdout: int) -> list[Mask]:
    """(H,) the whole holdout, and the holdout without each of its tenths that leaves something."""
    groups = np.arange(holdout) % JACKKNIFE
    return [groups >= 0, *(groups != group for group in range(JACKKNIFE))]


def show(
    members: Measured,
    holdout: Measured,
    forgotten: Rows,
    *,
    pool: ReferenceBaseline,
    left_out: Mask,
    retained: Rows,
    scale: float,
    seed: int,
) -> Shown:
    """Put a model's forgotten records where they stand among its holdout.

    Args:
        members, holdout: what the model shows of all M members and H holdout records.
        forgotten: which records of the pool it was made to forget.
        pool: the records of all sets, which share what the attacks are tuned on, and the references.
        left_out: (K, H), see `ReferencedLosses`.
        retained: rows of the members that it is to know.
        scale: of RMIA, that of the whole pool: a few records tell little.
        seed: of the folds.
    """
    audited = AuditedModel(members.rows(pool.rows), holdout, members.rows(retained))
    own = audited.forget.rows(forgotten)
    placed = {name: placements(own.signals[name], holdout.signals[name]) for name in SIGNALS}
    named = {}
    for name, scores in asked(audited, pool, left_out, scale).items():
        these = MembershipScores(scores.forget[forgotten], scores.holdout)
        placed[name], named[name] = placements(*these.pair), recognised(these)
    groups = (own.signals, holdout.signals, audited.retained.signals)
    placed["combined_retained"] = _fitted_on_retained(*groups, derive(seed, "combined_retained"))
    encoder = (own.encoder, holdout.encoder, audited.retained.encoder)
    placed["representation"] = _fitted_on_retained(*encoder, derive(seed, "representation"))
    losses = _beside_references(own, holdout, pool, forgotten, left_out, scale)
    kept = jackknifed(len(holdout.losses))
    return Shown(
        placed=placed,
        signals=_normal(own.signals, holdout.signals),
        holdout_signals=_normal(holdout.signals, holdout.signals),
        confidences=np.stack([on_common_scale(losses, each).target for each in kept]),
        averages=np.stack([on_common_scale(losses, each, averaged=True).target[:, 0] for each in kept]),
        recognised=named,
    )


def _beside_references(
    own: Measured, holdout: Measured, pool: ReferenceBaseline, forgotten: Rows, left_out: Mask, scale: float
) -> ReferencedLosses:
    """Losses of the records of one set alone, beside those of the references."""
    return ReferencedLosses(
        forget=own.losses,
        holdout=holdout.losses,
        reference_forget=pool.references.member_losses[:, pool.rows[forgotten]],
        reference_holdout=pool.references.holdout_losses,
        trained=pool.trained[:, forgotten],
        left_out=left_out,
        rmia_scale=scale,
    )


def _normal(signals: Signals, holdout: Signals) -> Array:
    values = [normal_scores(np.asarray(signals[name])[:, None], np.asarray(holdout[name])[:, None]) for name in SIGNALS]
    return np.concatenate(values, axis=1)


def _fitted_on_retained(forgotten: Signals, holdout: Signals, retained: Signals, seed: int) -> Placements:
    """A logistic regression of retained members against the holdout: each forgotten record's mean place over the
    folds of the holdout, each judged by the fit without it."""
    ours, others, known = (matrix(each) for each in (forgotten, holdout, retained))
    count = min(FOLDS, len(others))
    folds = np.random.default_rng(seed).permutation(len(others)) % count
    of_ours, of_others = np.zeros(len(ours)), np.empty(len(others))
    for fold in range(count):
        judged = folds == fold
        fit = logistic.fit(known, others[~judged])
        place, of_others[judged] = placements(fit.scores(ours), fit.scores(others[judged]))
        of_ours += place * judged.mean()
    return of_ours, of_others
