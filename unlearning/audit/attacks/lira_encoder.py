"""LiRA on the encoder's output alone, which is what gets published (Carlini et al. 2022, 2112.03570, section IV, with
several statistics to a record).

The statistics are the features of EncoderMI (Liu et al. 2021, 2108.11023), how well views of a record agree, and the
numbers of `signals.representation`, which tell of encoders too whose views are all alike. Of each record they are
taken to be normal, with one covariance Σ and one effect of training δ for all records:

    x ~ N(μ_out, Σ) without the record, x ~ N(μ_out + δ, Σ) with it,
    log ratio = δᵀ Σ⁻¹ (x − μ_out) and a constant

μ_out is the record's own, the mean over references not trained on it; δ and Σ come from all members under the
references, whose training sets are known. So this is the offline attack with a direction that is learned, and never
from the audited model. With a δ of its own for each record (the online attack) it found less on contrastive encoders
of digits, and hardly more on supervised ones: sixteen references tell little of what training does to one record.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlearning.audit.attacks import lira
from unlearning.audit.attacks.base import MembershipScores
from unlearning.audit.signals import ENCODER_SIGNALS, Signals

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

CLOSEST = 1e-5
"""Least distance of a cosine from ±1, where Fisher's z is infinite: what rounding in 32 bits leaves of views that
are all alike. Cosines nearer than that count as this, and tell nothing."""


@dataclass(frozen=True)
class ReferencedFeatures:
    """S statistics, see `statistics_of`, of one model under attack and of K reference models."""

    forget: Array
    """(F, S)."""
    holdout: Array
    """(H, S)."""
    reference_members: Array
    """(K, M, S), of all members, forgotten and retained."""
    reference_holdout: Array
    """(K, H, S)."""
    trained: Mask
    """(K, M) which reference was trained on which member."""
    rows: npt.NDArray[np.intp]
    """(F,) which members are forgotten."""
    left_out: Mask
    """(K, H) references that are not asked about a holdout record, see `ReferencedLosses`."""


def fisher_z(similarity: Array) -> Array:
    """artanh of cosines, any shape, at most 6.1 whichever way, see `CLOSEST`.

    Cosines pile up below 1, and are the narrower the nearer they lie; on this scale (Fisher 1921) they are nearly
    normal and equally wide.
    """
    return np.asarray(np.arctanh(np.clip(similarity, CLOSEST - 1, 1 - CLOSEST)), dtype=np.float64)


def statistics_of(encoder: Signals) -> Array:
    """(..., S) numbers of each record, in the order of `ENCODER_SIGNALS`, from signals of shape (...)."""
    values = {name: np.asarray(encoder[name]) for name in ENCODER_SIGNALS}
    values["encoder_similarity"] = fisher_z(values["encoder_similarity"])
    return np.stack(list(values.values()), axis=-1)


def direction(reference: Array, trained: Mask) -> Array:
    """Σ⁻¹ δ: where training on a record moves its statistics, against how much they vary anyway.

    Args:
        reference: (K, N, S) what each reference shows of each record.
        trained: (K, N) which reference was trained on which record.

    Returns:
        (S,); of any sign, 0 for a statistic that is always the same.

    Raises:
        ValueError: values are not finite, or no record has references on both sides.
    """
    told = trained.any(axis=0) & ~trained.all(axis=0)
    if not told.any():
        raise ValueError("no record has references trained on it and others: nothing tells what training does")
    if not np.isfinite(reference).all():
        raise ValueError("statistics must be finite")
    reference, trained = reference[:, told], trained[:, told]
    inside, outside = lira.centre(reference, trained), lira.centre(reference, ~trained)
    deviations = (reference - np.where(trained[..., None], inside, outside)).reshape(-1, reference.shape[2])
    covariance = deviations.T @ deviations / len(deviations)
    rounding = lira.SMALLEST_SPREAD**2 * np.eye(len(covariance))
    return np.asarray(np.linalg.solve(covariance + rounding, (inside - outside).mean(axis=0)))


def lira_encoder(shown: ReferencedFeatures) -> MembershipScores:
    """How far above models not trained on it a record lies, in the direction of training.

    Whoever attacks so sees of the audited model the encoder's output alone, but has trained reference models.

    Score direction: larger means member; 0 is a model not trained on the record.

    Raises:
        ValueError: as `direction`, or a record has no reference that was not trained on it.
    """
    for values in (shown.forget, shown.holdout, shown.reference_holdout):
        if not np.isfinite(values).all():
            raise ValueError("statistics must be finite")
    towards = direction(shown.reference_members, shown.trained)
    rows = shown.rows
    return MembershipScores(
        (shown.forget - lira.centre(shown.reference_members[:, rows], ~shown.trained[:, rows])) @ towards,
        (shown.holdout - lira.centre(shown.reference_holdout, ~shown.left_out)) @ towards,
    )
