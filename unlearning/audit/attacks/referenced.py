"""Attacks that know how every record looks to models not trained on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from unlearning.audit.attacks import lira, rmia
from unlearning.audit.attacks.base import MembershipScores
from unlearning.audit.attacks.in_place import judges, shared_variances
from unlearning.audit.attacks.trained_alike import as_trained_alike
from unlearning.audit.statistics import clustered_error, placements, standard_error

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

JACKKNIFE = 10
"""Parts of the holdout, each left out in turn."""


@dataclass(frozen=True)
class ReferencedLosses:
    """Losses of one model under attack, and of K reference models, on the same F and H records."""

    forget: Array
    """(F, Q), one per query."""
    holdout: Array
    """(H, Q)."""
    reference_forget: Array
    """(K, F, Q)."""
    reference_holdout: Array
    """(K, H, Q)."""
    trained: Mask
    """(K, F) which reference was trained on which forgotten record."""
    left_out: Mask
    """(K, H) references that are not asked about a holdout record. None was trained on it, but asking as many
    as about a forgotten record keeps the scores of both groups equally noisy."""
    rmia_scale: float
    """RMIA's a, see `tuned_rmia_scale`."""


ReferenceAttack = Callable[[ReferencedLosses], MembershipScores]
"""Losses to membership scores."""


def _confidences(losses: ReferencedLosses) -> ReferencedLosses:
    """The same with logit confidences in place of the losses."""
    return replace(
        losses,
        forget=lira.logit_confidence(losses.forget),
        holdout=lira.logit_confidence(losses.holdout),
        reference_forget=lira.logit_confidence(losses.reference_forget),
        reference_holdout=lira.logit_confidence(losses.reference_holdout),
    )


def lira_offline(losses: ReferencedLosses) -> MembershipScores:
    """How far above models not trained on it a record lies, see `lira.offline`.

    Score direction: larger means member.
    """
    shown = _confidences(losses)
    return MembershipScores(
        lira.offline(shown.forget, shown.reference_forget, shown.trained),
        lira.offline(shown.holdout, shown.reference_holdout, shown.left_out),
    )


GAMMA = 1.0
"""By how much a record must beat a non-member. The paper takes 2, which suits cross-entropies; there 1 gives the same
AUC (MoCo: .741 with either). BYOL's loss is bounded, its ratios lie near 1, and at 2 no member would ever beat a
non-member. γ only decides which records tie, see `rmia`, so at 1 nothing is lost."""


def tuned_rmia_scale(reference_forget: Array, reference_holdout: Array, trained: Mask) -> float:
    """How much of p_out a model keeps that was trained on a record, chosen on references alone, see `rmia.tuned_scale`.

    Args:
        reference_forget, reference_holdout, trained: as in `ReferencedLosses`.
    """
    shown = np.exp(-reference_forget).mean(axis=2), np.exp(-reference_holdout).mean(axis=2)
    nobody = np.zeros(shown[1].shape, dtype=bool)  # no reference was trained on the holdout
    return rmia.tuned_scale(shown[0], trained, shown[1], nobody, gamma=GAMMA)


def rmia_offline(losses: ReferencedLosses) -> MembershipScores:
    """How many non-members a record beats, see `rmia.offline`; the non-members are the holdout.

    Score direction: larger means member.
    """
    forget, holdout = np.exp(-losses.forget).mean(axis=1), np.exp(-losses.holdout).mean(axis=1)
    reference_forget = np.exp(-losses.reference_forget).mean(axis=2)
    reference_holdout = np.exp(-losses.reference_holdout).mean(axis=2)
    non_members = (holdout, reference_holdout, losses.left_out)
    scale = losses.rmia_scale
    return MembershipScores(
        rmia.offline(forget, reference_forget, losses.trained, *non_members, gamma=GAMMA, scale=scale),
        rmia.offline(holdout, reference_holdout, losses.left_out, *non_members, gamma=GAMMA, scale=scale),
    )


def normal_scores(values: Array, holdout: Array) -> Array:
    """Each value as the normal quantile of its place among what the same model shows of the holdout.

    Models trained on fewer records are less sure of everything, and sure in another way: places do not
    depend on how sure a model is, only on whom it knows better.

    Args:
        values: (..., N, Q).
        holdout: (..., H, Q); the last two axes are taken together.

    Returns:
        (..., N, Q), standard normal for records that are like the holdout.
    """
    shape = values.shape[:-2]
    found = np.empty_like(values)
    for index in np.ndindex(*shape):
        known = np.sort(holdout[index], axis=None)
        below = np.searchsorted(known, values[index], side="left")
        above = np.searchsorted(known, values[index], side="right")
        found[index] = ndtri((below + above + 1) / (2 * len(known) + 2))
    return found


def lira_online(losses: ReferencedLosses) -> MembershipScores:
    """Whether the model knows a forgotten record more like models trained on it or like models that were
    not, see `lira.online`. The non-members are those reference models, on the same records: each reference
    not trained on a record is put in the model's place, and both are judged by the others.

    No holdout record was trained on, so it has no "in" distribution; it gives the scale, see
    `normal_scores`. `error_factor` allows for records that enter several times (clustered errors) and for
    the choice of the holdout that the scale rests on (a jackknife over tenths of it).

    Score direction: larger means member.
    """
    return judged_in_place(lambda measured: on_common_scale(losses, measured), len(losses.holdout))


def judged_in_place(scale: Callable[[Mask | None], CommonScale], holdout: int) -> MembershipScores:
    """The model's scores by online LiRA beside those of the references that stand in its place, see `lira_online`.

    Args:
        scale: what all models show, by the holdout records that make the scale; None for all of them.
        holdout: how many there are.
    """
    whole = scale(None)
    scores, non_members = in_place_of_each_other(whole)
    _, records = (~whole.trained).nonzero()
    clustered = clustered_error(scores, non_members, records)
    left = [in_place_of_each_other(scale(part)) for part in jackknife_parts(holdout)]
    areas = tuple(float(placements(*each)[0].mean()) for each in left)
    naive = standard_error(*placements(scores, non_members))
    factor = float(np.hypot(clustered, jackknife_error(areas)) / naive) if 0 < naive < np.inf else 1.0
    return MembershipScores(scores, non_members, factor, records, areas)


def jackknife_error(values: Sequence[float]) -> float:
    """Standard error of a number from its values with each part left out; 0 where there are no parts."""
    count = len(values)
    return float(np.sqrt((count - 1) * np.var(values))) if count else 0.0


def jackknife_parts(holdout: int) -> list[Mask]:
    """(H,) masks of the holdout without a tenth of it, for each tenth that there is."""
    groups = np.arange(holdout) % JACKKNIFE
    return [groups != group for group in range(JACKKNIFE) if (groups != group).any() and (groups == group).any()]


@dataclass(frozen=True)
class CommonScale:
    """Logit confidences of the forgotten records as normal scores among each model's own holdout."""

    target: Array
    """(F, Q), see `as_trained_alike`."""
    reference: Array
    """(K, F, Q)."""
    trained: Mask
    """(K, F)."""


def on_common_scale(losses: ReferencedLosses, measured: Mask | None = None, *, averaged: bool = False) -> CommonScale:
    """What all models show on one scale, see `normal_scores`.

    Args:
        losses: of the audited model and the references.
        measured: (H,) the holdout records that make the scale; None for all.
        averaged: one value per record, from its mean confidence over the queries (Q = 1).
    """
    shown = _confidences(losses)
    among = np.ones(len(shown.holdout), dtype=bool) if measured is None else measured

    def scores(values: Array, holdout: Array) -> tuple[Array, Array]:
        if averaged:
            values, holdout = values.mean(axis=-1, keepdims=True), holdout.mean(axis=-1, keepdims=True)
        known = holdout[..., among, :]
        return normal_scores(values, known), normal_scores(known, known)

    target, target_holdout = scores(shown.forget, shown.holdout)
    reference, reference_holdout = scores(shown.reference_forget, shown.reference_holdout)
    left_out = losses.left_out[:, among]
    alike = as_trained_alike(target, target_holdout, reference, reference_holdout, losses.trained, left_out)
    return CommonScale(alike, reference, losses.trained)


def online_in_place(shown: CommonScale) -> tuple[Array, Array]:
    """(K, F) LiRA scores of the model and of each reference, both judged by the other references as `lira.online`
    judges, with one variance of "in" and one of "out"; not a number where that reference was trained on the record."""
    found = judges(shown.reference, shown.trained)
    spreads = [np.maximum(np.sqrt(each), lira.SMALLEST_SPREAD) for each in shared_variances(found)]
    inside, outside = (each[:, None, None] for each in spreads)

    def scores(values: Array) -> Array:
        ratio = np.log(outside) - np.log(inside)
        ratio = (
            ratio + (np.square((values - found.mean_out) / outside) - np.square((values - found.mean_in) / inside)) / 2
        )
        return np.where(found.outside, ratio.mean(axis=2), np.nan)

    return scores(shown.target), scores(shown.reference)


def in_place_of_each_other(shown: CommonScale) -> tuple[Array, Array]:
    """(F,) scores of the model, means over the references it is judged beside, and the scores of the references not
    trained on a record, reference by reference."""
    ours, theirs = online_in_place(shown)
    return np.nanmean(ours, axis=0), theirs[~shown.trained]


REFERENCE_ATTACKS: dict[str, ReferenceAttack] = {
    "lira_offline": lira_offline,
    "lira_online": lira_online,
    "rmia": rmia_offline,
}
