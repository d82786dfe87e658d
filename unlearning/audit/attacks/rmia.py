"""RMIA: on how many non-members z does a record x win a pairwise likelihood ratio test? (Zarifzadeh et al.
2024, 2312.03262.)

    LR(x, z) = (p(x | model) / p(x)) / (p(z | model) / p(z)),  score(x) = Pr over z of [LR(x, z) ≥ γ]

p(x) is what an average model shows of x, half of them trained on it: (p_in(x) + p_out(x)) / 2. Without
models that were trained on it p_in = a p_out + 1 − a stands in, hence p = ((1 + a) p_out + 1 − a) / 2.

The score is a share of Z non-members: it has Z + 1 values, and records tie often, most of all at 0 and 1.
All records meet the same non-members, so it is a step function of p(x | model) / p(x): non-members and γ decide
where a threshold means what, and which records tie, but never turn the order of two records round.
Where x and z meet γ exactly x wins, as in the paper; the published code asks for more than γ, which is the
same but for ties.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unlearning.audit.statistics import placements

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SCALES = (0.0, 0.3, 0.6, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0)
"""Values of a that are tried. Where losses are those of a contrastive batch, probabilities are thousandths: the
constant (1 − a) / 2 then outweighs p_out, and the attack that of the bare loss, unless a is close to 1."""

PROBABILITY_ROUNDING = 1e-5
"""How far above one rounding may put a probability."""


def online(
    target: Array,
    reference: Array,
    trained: Mask,
    population_target: Array,
    population_reference: Array,
    population_trained: Mask,
    *,
    gamma: float = 2.0,
    scale: float = 0.3,
) -> Array:
    """The attack with references on both sides: p = (p_in + p_out) / 2.

    The two halves count the same however many references each has, so that p stays that of a record in
    every second training set.

    Args:
        target: (N,) probability that the attacked model gives each record, in (0, 1].
        reference: (K, N) what each reference model gives.
        trained: (K, N) which reference was trained on which record; at least one was, one was not.
        population_target: (Z,) the same of non-members of the attacked model.
        population_reference: (K, Z).
        population_trained: (K, Z), false throughout where no reference was trained on a non-member. Its p_in
            is then the linear stand-in: with p_out in place of p a non-member's ratio would lie around 1, and
            a member's, p_in / ((p_in + p_out) / 2) < 2, could not be γ = 2 times that.
        gamma: γ, by how much x must beat z.
        scale: a of that stand-in; without such non-members it changes nothing.

    Returns:
        (N,) shares of non-members in [0, 1]; larger means member.

    Raises:
        ValueError: shapes do not fit, a probability or setting is out of range, or references are missing.
    """
    _check(target, reference, trained)
    _check(population_target, population_reference, population_trained)
    _check_settings(reference, population_reference, gamma, scale)
    if not trained.any(axis=0).all():
        raise ValueError("every record needs a reference trained on it; without, use `offline`")
    records = target / _both_sides(reference, trained, scale)
    non_members = population_target / _both_sides(population_reference, population_trained, scale)
    return _share_beaten(records, non_members, gamma)


def offline(
    target: Array,
    reference: Array,
    trained: Mask,
    population_target: Array,
    population_reference: Array,
    population_trained: Mask,
    *,
    gamma: float = 2.0,
    scale: float = 0.3,
) -> Array:
    """The attack with references that did not see the record: p = ((1 + a) p_out + 1 − a) / 2.

    Args:
        target: (N,) probability that the attacked model gives each record, in (0, 1].
        reference: (K, N) what each reference model gives.
        trained: (K, N) which reference was trained on which record; at least one was not.
        population_target: (Z,) the same of non-members of the attacked model.
        population_reference: (K, Z).
        population_trained: (K, Z).
        gamma: γ, by how much x must beat z; 2 in all published settings of the paper.
        scale: a in [0, 1], how much of p_out a model keeps that was trained on the record: at 1 training
            changes nothing, at 0 it makes the record certain. 0.3 is the published setting of CIFAR-10
            and CINIC-10; 0.6 that of CIFAR-100, 0.2 that of Purchase-100.

    Returns:
        (N,) shares of non-members in [0, 1]; larger means member.

    Raises:
        ValueError: shapes do not fit, a probability or setting is out of range, or references are missing.
    """
    _check(target, reference, trained)
    _check(population_target, population_reference, population_trained)
    _check_settings(reference, population_reference, gamma, scale)
    records = target / _one_side(reference, trained, scale)
    non_members = population_target / _one_side(population_reference, population_trained, scale)
    return _share_beaten(records, non_members, gamma)


def tuned_scale(
    reference: Array,
    trained: Mask,
    population_reference: Array,
    population_trained: Mask,
    *,
    gamma: float = 2.0,
    scales: Sequence[float] = SCALES,
) -> float:
    """The a with which references tell best which records one of them was trained on.

    The paper tunes a by simulated attacks on a reference. Here each reference is attacked in its turn by the others,
    on the records that they can judge: its own training set is known, and the attacked model is not looked at, so
    that the choice is in favour of neither outcome.

    Args:
        reference: (K, N) probability that each reference gives each record.
        trained: (K, N) which reference was trained on which record.
        population_reference: (K, Z) the same of non-members.
        population_trained: (K, Z).
        gamma: of the attack.
        scales: values of a to choose from.

    Returns:
        The one with the largest mean AUC over the references; the first of `scales` where none can be judged.

    Raises:
        ValueError: as `offline`, or there is nothing to choose from.
    """
    _check(reference[0], reference, trained)
    if not scales:
        raise ValueError("scales are needed to choose from")
    areas: dict[float, list[float]] = {scale: [] for scale in scales}
    for number in range(len(reference)):
        others = np.arange(len(reference)) != number
        judged = ~trained[others].all(axis=0)
        asked = ~population_trained[others].all(axis=0) & ~population_trained[number]
        members = trained[number][judged]
        if members.all() or not members.any() or not asked.any():
            continue
        records = (reference[number][judged], reference[others][:, judged], trained[others][:, judged])
        non_members = population_reference[:, asked]
        population = (non_members[number], non_members[others], population_trained[others][:, asked])
        for scale in scales:
            scores = offline(*records, *population, gamma=gamma, scale=scale)
            areas[scale].append(float(placements(scores[members], scores[~members])[0].mean()))
    return max(scales, key=lambda scale: float(np.mean(areas[scale])) if areas[scale] else 0.0)


def _check(target: Array, reference: Array, trained: Mask) -> None:
    if target.ndim != 1 or reference.ndim != 2 or reference.shape[1:] != target.shape:
        raise ValueError(f"target {target.shape} and reference {reference.shape}: (N,) and (K, N) are needed")
    if trained.dtype != np.bool_ or trained.shape != reference.shape:
        raise ValueError(f"trained {trained.shape} of {trained.dtype}: booleans {reference.shape} are needed")
    for values in (target, reference):
        # Written so that a value that is not a number fails, too.
        if not ((values > 0) & (values <= 1 + PROBABILITY_ROUNDING)).all():
            raise ValueError("probabilities must be above 0 and at most 1")
    if trained.all(axis=0).any():
        raise ValueError("every record needs a reference not trained on it")


def _check_settings(reference: Array, population: Array, gamma: float, scale: float) -> None:
    if len(reference) != len(population) or not population.shape[1]:
        raise ValueError(
            f"population {population.shape}: non-members of the same {len(reference)} references are needed"
        )
    if not 0 < gamma < np.inf or not 0 <= scale <= 1:
        raise ValueError(f"gamma {gamma}, scale {scale}: a finite gamma above 0 and a scale from 0 to 1 are needed")


def _mean(reference: Array, chosen: Mask) -> Array:
    """(N,) means over the chosen references, 0 where there are none."""
    return np.asarray(reference.sum(axis=0, where=chosen) / np.maximum(chosen.sum(axis=0), 1))


def _one_side(reference: Array, trained: Mask, scale: float) -> Array:
    """(N,) p from references that were not trained on the record."""
    return np.asarray(((1 + scale) * _mean(reference, ~trained) + 1 - scale) / 2)


def _both_sides(reference: Array, trained: Mask, scale: float) -> Array:
    """(N,) p from both sides, or from one where there is only one."""
    both = (_mean(reference, trained) + _mean(reference, ~trained)) / 2
    return np.where(trained.any(axis=0), both, _one_side(reference, trained, scale))


def _share_beaten(records: Array, non_members: Array, gamma: float) -> Array:
    """(N,) shares of z with ratio(x) ≥ γ ratio(z), by a sorted search instead of N × Z comparisons."""
    beaten = np.searchsorted(np.sort(gamma * non_members), records, side="right")
    return np.asarray(beaten / len(non_members), dtype=np.float64)
