"""Individual memory: does the model know those records best that models trained on them know best?

A method can push every forgotten record down by the same amount. The mean is then that of a model not trained on them,
and areas under ROC curves follow it, while each record still stands apart by what training on it taught. References
tell how much that is for each record: the gap between those trained on it and those not. The slope of what the audited
model shows on that gap is its individual memory. By the mean the offset drops out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlearning.audit.attacks.in_place import between_models, judges

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MemorySlopes:
    """Slopes on the gap: 0 tells nothing of single records, 1 is the gap whole."""

    shown: float
    """Of the audited model."""
    expected: float
    """Of references not trained on a record, put in its place. Above 0, since whatever chance puts the others' mean too
    low makes both the gap and the distance from it larger."""
    pseudo_values: Array
    """(F,) of the difference, one per record: their mean is the difference, their spread gives its error."""
    between: float
    """Standard deviation of the references' own slopes beyond what the records explain."""


def individual_memory(target: Array, reference: Array, trained: Mask) -> MemorySlopes:
    """The slope of a model's normal scores on each record's own gap, beside that of models not trained on it.

    Each reference k not trained on a record is put in the audited model's place, and the others judge both: with
    x = mean_in − mean_out of the others, and centred for each k,

        slope of the model     Σ x (target − mean_out) / Σ x²
        slope of references    Σ x (reference_k − mean_out) / Σ x²

    over all k and the records that k was not trained on. The gap is noisy, so both slopes are smaller than those on the
    true gap, by the same share.

    Args:
        target: (F ≥ 2,) what the audited model shows of each record, larger means member; on a scale that all models
            share, see `attacks.referenced.normal_scores`.
        reference: (K, F).
        trained: (K, F) which reference was trained on which record; without any one reference, each record has one
            trained on it and one that was not.

    Returns:
        Errors by a jackknife over records (all that is known of one is left out at once).

    Raises:
        ValueError: references are missing.
    """
    found = judges(reference, trained)
    gap = _centred(found.mean_in - found.mean_out, found.outside)
    ours = _centred(target - found.mean_out, found.outside)
    theirs = _centred(reference - found.mean_out, found.outside)
    squares = np.square(gap)
    slopes, errors = _of_each(gap * theirs, squares)
    products, expected = (gap * ours).sum(axis=0), (gap * theirs).sum(axis=0)
    return _slopes(products, expected, squares.sum(axis=0), between_models(slopes, errors))


def _of_each(products: Array, squares: Array) -> tuple[Array, Array]:
    """Slopes of single references and their standard errors, from (K, F) terms; those without a gap are left out."""
    told = squares.sum(axis=1) > 0
    total = squares[told].sum(axis=1)
    slopes = products[told].sum(axis=1) / total
    residuals = products[told] - slopes[:, None] * squares[told]
    return slopes, np.sqrt(np.square(residuals).sum(axis=1)) / total


def _centred(values: Array, among: Mask) -> Array:
    """(K, F) without the mean of each row over the records among, 0 elsewhere."""
    counts = np.maximum(among.sum(axis=1, keepdims=True), 1)
    kept = np.where(among, values, 0.0)
    return np.where(among, kept - kept.sum(axis=1, keepdims=True) / counts, 0.0)


def _slopes(products: Array, expected: Array, squares: Array, between: float) -> MemorySlopes:
    total, count = float(squares.sum()), len(squares)
    if not total > 0:
        # No record stands apart from another by what training teaches: nothing single to remember.
        return MemorySlopes(0.0, 0.0, np.zeros(count), 0.0)
    differences = products - expected
    slope = float(differences.sum()) / total
    rest = total - squares
    without = np.divide(differences.sum() - differences, rest, out=np.full(count, slope), where=rest > 0)
    # Centred on the slope itself: the jackknife's correction of bias would add noise.
    pseudo_values = slope - (count - 1) * (without - without.mean())
    return MemorySlopes(float(products.sum()) / total, float(expected.sum()) / total, pseudo_values, between)
