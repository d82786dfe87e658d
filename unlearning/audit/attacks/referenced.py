"""Attacks that know how every record looks to models not trained on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from unlearning.audit.attacks import lira, rmia
from unlearning.audit.attacks.base import MembershipScores
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


def rmia_offline(losses: ReferencedLosses, scale: float | None = None) -> MembershipScores:
    """How many non-members a record beats, see `rmia.offline`; the non-members are the holdout.

    Score direction: larger means member.

    Args:
        losses: of the model under attack and of the references.
        scale: how much of p_out a model keeps; None for `rmia_scale` of these losses.
    """
    scale = rmia_scale(losses) if scale is None else scale
    forget, holdout = np.exp(-losses.forget).mean(axis=1), np.exp(-losses.holdout).mean(axis=1)
    reference_forget = np.exp(-losses.reference_forget).mean(axis=2)
    reference_holdout = np.exp(-losses.reference_holdout).mean(axis=2)
    non_members = (holdout, reference_holdout, losses.left_out)
    return MembershipScores(
        rmia.offline(forget, reference_forget, losses.trained, *non_members, gamma=GAMMA, scale=scale),
        rmia.offline(holdout, reference_holdout, losses.left_out, *non_members, gamma=GAMMA, scale=scale),
    )


def rmia_scale(losses: ReferencedLosses) -> float:
    """How much of p_out a model keeps, chosen on the references alone, see `rmia.tuned_scale`."""
    reference_forget = np.exp(-losses.reference_forget).mean(axis=2)
    reference_holdout = np.exp(-losses.reference_holdout).mean(axis=2)
    nobody = np.zeros_like(losses.left_out)  # no reference was trained on the holdout
    return rmia.tuned_scale(reference_forget, losses.trained, reference_holdout, nobody, gamma=GAMMA)


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
        found[index] = norm.ppf((below + above + 1) / (2 * len(known) + 2))
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
    shown = _confidences(losses)

    def judged(measured: Mask) -> tuple[Array, Array]:
        """On the scale of the holdout records `measured`."""
        target = normal_scores(shown.forget, shown.holdout[measured])
        reference = normal_scores(shown.reference_forget, shown.reference_holdout[:, measured])
        return in_place_of_each_other(target, reference, shown.trained)

    everybody = np.ones(len(shown.holdout), dtype=bool)
    scores, non_members = judged(everybody)
    _, records = (~shown.trained).nonzero()
    clustered = clustered_error(scores, non_members, records)
    groups = np.arange(len(everybody)) % JACKKNIFE
    left = [judged(groups != group) for group in range(JACKKNIFE) if (groups != group).any()]
    areas = np.asarray([placements(*each)[0].mean() for each in left])
    scale = np.sqrt((len(areas) - 1) / len(areas) * np.square(areas - areas.mean()).sum())
    naive = standard_error(*placements(scores, non_members))
    factor = float(np.hypot(clustered, scale) / naive) if 0 < naive < np.inf else 1.0
    return MembershipScores(scores, non_members, factor)


def in_place_of_each_other(target: Array, reference: Array, trained: Mask) -> tuple[Array, Array]:
    """Model and references, each not trained on a record, judged by the other references.

    Args:
        target: (F, Q) what the model shows, see `normal_scores`.
        reference: (K, F, Q).
        trained: (K, F).

    Returns:
        (F,) scores of the model, and the scores of the references not trained on a record, reference by reference.
    """
    count, records = trained.shape
    ours, theirs = np.full((count, records), np.nan), np.full((count, records), np.nan)
    for number in range(count):
        outside = ~trained[number]
        if not outside.any():
            continue
        others = np.arange(count) != number
        judged = (reference[others][:, outside], trained[others][:, outside])
        ours[number, outside] = lira.online(target[outside], *judged)
        theirs[number, outside] = lira.online(reference[number, outside], *judged)
    return np.nanmean(ours, axis=0), theirs[~trained]


REFERENCE_ATTACKS: dict[str, ReferenceAttack] = {
    "lira_offline": lira_offline,
    "lira_online": lira_online,
    "rmia": rmia_offline,
}
