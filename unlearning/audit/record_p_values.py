"""Record by record: does this one look as it does to models not trained on it?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit
from scipy.stats import mannwhitneyu, t

from unlearning.audit.attacks.in_place import between_models, judges
from unlearning.audit.attacks.lira import SMALLEST_SPREAD
from unlearning.audit.results import PerRecord
from unlearning.audit.statistics import proportion_interval

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LEVEL = 0.05


def p_values(target: Array, reference: Array, trained: Mask) -> Array:
    """Chance that a model not trained on a record knows it as well as this one does, or better.

    The n references not trained on it give a mean and a spread; the next such model is then t-distributed
    around the mean with n − 1 degrees of freedom and √(1 + 1/n) times the spread (the predictive
    distribution of normal values).

    Args:
        target: (N,) signal of the audited model, larger means member; on a scale that all models share, see
            `attacks.referenced.normal_scores`.
        reference: (K, N).
        trained: (K, N) which reference was trained on which record.

    Returns:
        (N,) in (0, 1); uniform for a model not trained on the records, small for one that knows them.

    Raises:
        ValueError: a record has fewer than 2 references not trained on it.
    """
    outside = ~trained
    count = outside.sum(axis=0)
    if (count < 2).any():
        raise ValueError(f"{int((count < 2).sum())} records have fewer than 2 references not trained on them")
    mean = reference.mean(axis=0, where=outside)
    spread = reference.std(axis=0, where=outside, ddof=1)
    distance = (target - mean) / (np.maximum(spread, SMALLEST_SPREAD) * np.sqrt(1 + 1 / count))
    return np.asarray(t.sf(distance, count - 1))


@dataclass(frozen=True)
class Tails:
    """How often p-values lie in a tail, with each reference in turn in the model's place."""

    ours: Array
    """(F,) shares for the audited model."""
    theirs: Array
    """(F,) shares for the references not trained on the record."""
    between: float
    """Standard deviation of the references' shares beyond what the records explain."""


def tails_in_place(target: Array, reference: Array, trained: Mask) -> tuple[Tails, Tails]:
    """Records known better, and known less, than by models not trained on them: p-values below `LEVEL`, and above
    1 − `LEVEL`.

    Each reference not trained on a record is put in the model's place, and both are judged by the others, so that
    whatever is not normal about the values befalls both alike.

    Args:
        target: (F,); reference: (K, F); trained: (K, F), as `p_values`.
    """
    found = judges(reference, trained)
    spread = np.maximum(np.sqrt(found.squares_out / (found.count_out - 1)), SMALLEST_SPREAD)
    # By t's own quantile instead of a p-value of each: the tails are all that is asked for.
    reach = stdtrit(found.count_out - 1, 1 - LEVEL) * spread * np.sqrt(1 + 1 / found.count_out)
    ours, theirs = target - found.mean_out, reference - found.mean_out
    better = _tails(ours > reach, theirs > reach, found.outside)
    return better, _tails(ours < -reach, theirs < -reach, found.outside)


def _tails(ours: Mask, theirs: Mask, outside: Mask) -> Tails:
    judged, records = outside.sum(axis=0), outside.sum(axis=1)
    shares = (theirs & outside).sum(axis=1)[records > 1] / records[records > 1]
    errors = np.sqrt(shares * (1 - shares) / (records[records > 1] - 1))
    return Tails(
        (ours & outside).sum(axis=0) / judged,
        (theirs & outside).sum(axis=0) / judged,
        between_models(shares, errors),
    )


def per_record(forget: Array, holdout: Array) -> PerRecord:
    """Sum up p-values.

    All records share the audited model and the references, so their p-values are not independent and
    products of them (Fisher's method) would cry wolf. The holdout shares the very same models: the two
    groups are compared by Mann and Whitney's test (1947).

    Args:
        forget: (F,) p-values of the forget set.
        holdout: (H,) p-values of the holdout, from as many references each.
    """
    count = len(forget)
    return PerRecord(
        records=count,
        suspicious=proportion_interval(int((forget < LEVEL).sum()), count),
        unfamiliar=proportion_interval(int((forget > 1 - LEVEL).sum()), count),
        pooled=float(mannwhitneyu(forget, holdout).pvalue),
        towards_members=bool(np.median(forget) < np.median(holdout)),
    )
