"""Each reference in the audited model's place, and the others as its judges, for all references at once.

A reference is put there over the records that it was not trained on. Without it, those trained on such a record are the
same as before, and of those not trained on it one is missing: means and squares need no second pass over the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlearning.audit.attacks.lira import FEWEST

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Judges:
    """What the other references say of each record, with N records and any number of further axes."""

    outside: Mask
    """(K, N) over which records a reference is put in the model's place."""
    count_in: Array
    """(N,) others trained on the record."""
    mean_in: Array
    """(N, …)."""
    squares_in: Array
    """(N, …) sums of squared deviations from that mean."""
    count_out: Array
    """(N,) others not trained on the record, without the one in the model's place."""
    mean_out: Array
    """(K, N, …); without meaning where the reference was trained on the record."""
    squares_out: Array
    """(K, N, …)."""


def judges(reference: Array, trained: Mask) -> Judges:
    """The others' means and squares.

    Args:
        reference: (K, N, …) what each reference shows.
        trained: (K, N) which reference was trained on which record.

    Raises:
        ValueError: without one of them, a record has fewer than two references on either side.
    """
    among = trained.reshape(*trained.shape, *(1,) * (reference.ndim - 2))
    count_in, count_out = trained.sum(axis=0), (~trained).sum(axis=0) - 1
    for count, what in ((count_in, "trained on it"), (count_out, "not trained on it, beside the one in its place")):
        if (count < FEWEST).any():
            raise ValueError(f"{int((count < FEWEST).sum())} records have fewer than {FEWEST} references {what}")
    mean_in = reference.mean(axis=0, where=among)
    squares_in = np.square(reference - mean_in).sum(axis=0, where=among)
    all_out = reference.mean(axis=0, where=~among)
    apart = reference - all_out
    squares_out = np.square(apart).sum(axis=0, where=~among)
    left = count_out.reshape(-1, *(1,) * (reference.ndim - 2)).astype(np.float64)
    return Judges(
        outside=~trained,
        count_in=count_in.astype(np.float64),
        mean_in=mean_in,
        squares_in=squares_in,
        count_out=count_out.astype(np.float64),
        # One value less moves a mean of n + 1 by a share 1 / n of its distance, and the squares by (n + 1) / n of it.
        mean_out=all_out - apart / left,
        squares_out=np.maximum(squares_out - np.square(apart) * (left + 1) / left, 0.0),
    )


def shared_variances(found: Judges) -> tuple[Array, Array]:
    """(K,) mean squared deviations over all records of a reference and all further axes, "in" and "out"."""
    axes = tuple(range(2, found.mean_out.ndim))
    size = int(np.prod(found.mean_out.shape[2:]))
    squares_in = found.squares_in.sum(axis=tuple(axis - 1 for axis in axes))
    squares_out = np.where(found.outside, found.squares_out.sum(axis=axes), 0.0).sum(axis=1)
    weights = found.outside.astype(np.float64)
    # A reference that was trained on every record is put in no place: its variance is never asked for.
    inside, outside = np.maximum(weights @ found.count_in, 1.0), np.maximum(weights @ found.count_out, 1.0)
    return (weights @ squares_in) / (inside * size), squares_out / (outside * size)


def between_models(means: Array, errors: Array) -> float:
    """Standard deviation between models, beyond what their records explain (DerSimonian & Laird 1986, equal weights).

    The audited model is one model: what it shows differs from what another would show by more than the choice of
    records, and no number of records makes that smaller.

    Args:
        means: (K,) of a measure, one per reference.
        errors: (K,) standard errors of those, by their records.

    Returns:
        0 where the records explain all of it.
    """
    if len(means) < 2:
        return 0.0
    return float(np.sqrt(max(0.0, means.var(ddof=1) - np.square(errors).mean())))
