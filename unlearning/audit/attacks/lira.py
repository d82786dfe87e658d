"""LiRA: is a record's statistic likelier under models that were trained on the record, or under models that
were not? (Carlini et al. 2022, 2112.03570.)

Every record has its own two normal distributions, fitted to what reference models show of it, so that a
record that is easy for every model is not taken for a member. Where paper and published code part:

- The centre is the mean, as in algorithm 1 of the paper. The published code takes the median, which is
  noisier where the statistic is normal.
- Variances divide by the number of references, and a shared one is that of the deviations from each
  record's own centre, of "in" and of "out" apart, as `compute_score_lira(fix_variance=True)` in
  tensorflow/privacy has it. The older `plot.py` of the paper shares the spread of the raw values, which
  holds the difference between records too, and gives "out" the spread of "in".
- `offline` is the paper's one-sided test; see there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SMALLEST_LOSS = float(np.finfo(np.float32).eps)
"""The least cross-entropy above zero that 32-bit softmax gives; below it a model cannot say how sure it is."""

LOSS_ROUNDING = 1e-5
"""How far below zero rounding may put a loss (1 − cosine of 32-bit unit vectors)."""

SMALLEST_SPREAD = 1e-6
"""Least standard deviation: the rounding of 32-bit statistics. References that all show the same would
otherwise make rounding look like infinite evidence."""

FEWEST = 2
"""References in a group: a single one has no spread."""


def logit_confidence(loss: Array) -> Array:
    """Confidence on the logit scale, log(p / (1 − p)) with p = exp(−loss).

    Losses pile up at zero; their logits are near to normal, which the attack assumes (sections IV-C and
    VI-A). For a cross-entropy, contrastive ones included, p is a probability. For BYOL, whose loss lies in
    [0, 4], it is only a pseudo-probability in [0.018, 1]: the same monotone map, without its meaning.

    Args:
        loss: any shape, not negative. Losses below `SMALLEST_LOSS` count as that: an exact zero would
            otherwise lie infinitely far from its neighbours.

    Returns:
        The same shape, at most 16; larger means member.

    Raises:
        ValueError: a loss is negative, infinite or not a number.
    """
    if not np.isfinite(loss).all() or (loss < -LOSS_ROUNDING).any():
        raise ValueError("losses must be finite and not negative")
    kept = np.maximum(np.asarray(loss, dtype=np.float64), SMALLEST_LOSS)
    # 1 − p by expm1: exp(−loss) near 1 would leave no digits of it.
    return -kept - np.log(-np.expm1(-kept))


def online(target: Array, reference: Array, trained: Mask, *, shared_variance: bool = True) -> Array:
    """Log of the likelihood ratio (algorithm 1, the quotient of Λ in section IV), mean over queries:
    log N(target; in) − log N(target; out).

    Args:
        target: (N, Q) what the attacked model shows of each record, one value per query; larger means
            member, such as `logit_confidence`.
        reference: (K, N, Q) what each reference model shows.
        trained: (K, N) which reference was trained on which record; at least two were, two were not.
        shared_variance: one variance of "in" and one of "out" for all records and queries. Better below
            about 64 references, whose own variance per record is mostly noise (figures 9 and 17).

    Returns:
        (N,) scores; larger means member, 0 tells nothing.

    Raises:
        ValueError: shapes do not fit, values are not finite, or a record has too few references.
    """
    _check(target, reference, trained)
    _enough(trained, "trained on it")
    _enough(~trained, "not trained on it")
    inside = _log_density(target, *_normal(reference, trained, shared_variance))
    outside = _log_density(target, *_normal(reference, ~trained, shared_variance))
    return np.asarray((inside - outside).mean(axis=1))


def offline(target: Array, reference: Array, trained: Mask, *, shared_variance: bool = True) -> Array:
    """How many standard deviations above "out" the record lies: mean over queries of
    (target − mean_out) / std_out.

    The paper's test without models that saw the record is one-sided, 1 − Pr[Z > target] with Z ~ N(out)
    (section IV, "offline"). That is Φ of the value here, so one query orders records the same, but Φ is 1.0
    for everything beyond 8.3 and would tie the surest members. The published code scores −log N(target;
    out) instead, which is two-sided: a record that the model knows worse than a model not trained on it
    would read as a member. Here that is over-forgetting, the other end of the same scale.

    Groups that are compared need the same number n of references per record: the distance has variance
    1 + 1/n even for non-members, so the group with fewer fills both tails, and the true positive rate at a
    low false positive rate shows members where there are none. (The area stays at one half.)

    Args:
        target: (N, Q) what the attacked model shows of each record; larger means member.
        reference: (K, N, Q) what each reference model shows.
        trained: (K, N) which reference was trained on which record; at least two were not.
        shared_variance: one variance for all records and queries, see `online`.

    Returns:
        (N,) scores; larger means member, 0 is a model not trained on the record.

    Raises:
        ValueError: shapes do not fit, values are not finite, or a record has too few references.
    """
    _check(target, reference, trained)
    _enough(~trained, "not trained on it")
    mean, spread = _normal(reference, ~trained, shared_variance)
    return np.asarray(((target - mean) / spread).mean(axis=1))


def _check(target: Array, reference: Array, trained: Mask) -> None:
    if target.ndim != 2 or not target.shape[1] or reference.shape[1:] != target.shape:
        raise ValueError(f"target {target.shape} and reference {reference.shape}: (N, Q) and (K, N, Q) are needed")
    if trained.dtype != np.bool_ or trained.shape != reference.shape[:2]:
        raise ValueError(f"trained {trained.shape} of {trained.dtype}: booleans {reference.shape[:2]} are needed")
    if not np.isfinite(target).all() or not np.isfinite(reference).all():
        raise ValueError("target and reference must be finite")


def _enough(chosen: Mask, what: str) -> None:
    short = int((chosen.sum(axis=0) < FEWEST).sum())
    if short:
        raise ValueError(f"{short} records have fewer than {FEWEST} references {what}")


def centre(reference: Array, chosen: Mask) -> Array:
    """Means over the chosen references of each record.

    Of values that are all the same it is that value, to the last digit: a mean that is off by a rounding would put
    an order into records that tie, such as those that every model is equally sure of.

    Args:
        reference: (K, N, Q) what each reference model shows.
        chosen: (K, N) which references are asked about which record.

    Returns:
        (N, Q).

    Raises:
        ValueError: nobody is asked about a record.
    """
    if not chosen.any(axis=0).all():
        raise ValueError(f"{int((~chosen.any(axis=0)).sum())} records have no reference to be compared with")
    one = reference[chosen.argmax(axis=0), np.arange(chosen.shape[1])]
    return np.asarray(one + (reference - one).mean(axis=0, where=chosen[:, :, None]))


def _normal(reference: Array, chosen: Mask, shared: bool) -> tuple[Array, Array]:
    """(N, Q) means over the chosen references and standard deviations, (N, Q) or a single shared one."""
    among = chosen[:, :, None]
    mean = centre(reference, chosen)
    squares = np.square(reference - mean)
    variance = squares.mean(where=among) if shared else squares.mean(axis=0, where=among)
    return mean, np.maximum(np.sqrt(variance), SMALLEST_SPREAD)


def _log_density(values: Array, mean: Array, spread: Array) -> Array:
    """(N, Q) logarithms of the normal density, up to a constant that the ratio does not have."""
    return np.asarray(-np.log(spread) - np.square((values - mean) / spread) / 2)
