"""The records of all simulated sets, audited like one large set, with the sets as clusters.

Every attack places a forgotten record among the holdout of its own model; what references not trained on the very
same records show is what it should find. The difference of the two has a mean over the records of a set, and these
means, one per set, are what the intervals are made of: records of a set share their model, and what becomes of one
says something of the others (the means of clusters as units; with sets of one size that is Obuchowski's error, 1997).
The holdout, which all models share, adds its own part, as in DeLong's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from unlearning.audit import logistic
from unlearning.audit.attacks.base import MembershipScores
from unlearning.audit.attacks.combined import FOLDS, SHARED_FIT_ERROR
from unlearning.audit.attacks.lira import logit_confidence
from unlearning.audit.attacks.referenced import CommonScale, in_place_of_each_other, normal_scores
from unlearning.audit.audit import Compared, tested_together
from unlearning.audit.qualification.shown import ONE_BY_ONE, RECOGNISING, Shown, jackknifed, show
from unlearning.audit.recognised import recognised_online
from unlearning.audit.reference_baseline import ONLINE, Placements, ReferenceBaseline, seen_from
from unlearning.audit.results import Interval
from unlearning.audit.simultaneous import Placed
from unlearning.audit.single_records import RecordGap, gaps_of_averages
from unlearning.audit.statistics import placed_interval, placements
from unlearning.core.seeding import derive

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Beside:
    """Signals of one model's forgotten records and of its holdout, as normal scores."""

    signals: Array
    """(S, 4)."""
    holdout: Array
    """(H, 4)."""


def compare_pooled(sets: Sequence[Shown], pool: ReferenceBaseline, seed: int) -> Compared:
    """How far every attack on all sets together is from what references show of the same records, and so for the
    measures of single records.

    Args:
        sets: what J ≥ 2 models show, each of the S records that it was made to forget.
        pool: the references, and the rows of the records of all sets, one set after the other.
        seed: of folds and of the simultaneous intervals.
    """
    in_place = _references_in_place(pool, seed)
    found = pooled_differences(sets, pool, seed, in_place)
    gaps = pooled_gaps(sets, pool, in_place)
    return tested_together(found, len(sets[0].holdout_signals), "references", seed, gaps)


InPlace = Sequence[tuple[Mask, Shown]]
"""Each reference as if it were the model, with which of the records it was not trained on."""


def pooled_gaps(sets: Sequence[Shown], pool: ReferenceBaseline, in_place: InPlace) -> tuple[RecordGap, ...]:
    """The measures of single records over all sets, each set counting as one of its mean, see `single_records`."""
    count = len(sets)
    ours, theirs = recognised_online(next(_on_common_scales(sets, pool)))
    gap = Placed(_by_set(ours.forget - theirs.forget, count), np.zeros(2))
    online = RecordGap("recognised", ONLINE, float(ours.forget.mean()), float(theirs.forget.mean()), gap)
    whole, *tenths = _on_common_scales(sets, pool, averaged=True)
    # Sets share no model, so what differs between models is in the spread of their means.
    averages = [
        replace(each, placed=Placed(_by_set(each.placed.members, count), each.placed.non_members))
        for each in gaps_of_averages(whole, tenths, {})
    ]
    return (*(_recognised(name, sets, in_place) for name in RECOGNISING), online, *averages)


def _by_set(values: Array, sets: int) -> Array:
    """(J,) means over the records of each set."""
    return np.asarray(values.reshape(sets, -1).mean(axis=1))


def _recognised(attack: str, sets: Sequence[Shown], in_place: InPlace) -> RecordGap:
    ours = np.stack([each.recognised[attack].forget for each in sets])
    threshold = np.mean([each.recognised[attack].threshold for each in sets], axis=0)
    named = [(outside, shown.recognised[attack]) for outside, shown in in_place]
    placed = clustered(ours, threshold, [(outside, (each.forget, each.threshold)) for outside, each in named])
    shown = float(ours.mean())
    return RecordGap("recognised", attack, shown, shown - float(placed.members.mean()), placed)


def _on_common_scales(
    sets: Sequence[Shown], pool: ReferenceBaseline, *, averaged: bool = False
) -> Iterator[CommonScale]:
    """What the models of all sets and the references show of the records, on the scale of the whole holdout, and on
    that of the holdout without each tenth; of each query, or of each record's mean confidence."""
    references = pool.references
    values, among = (
        logit_confidence(each) for each in (references.member_losses[:, pool.rows], references.holdout_losses)
    )
    if averaged:
        values, among = values.mean(axis=-1, keepdims=True), among.mean(axis=-1, keepdims=True)
    for turn, kept in enumerate(jackknifed(among.shape[1])):
        target = [each.averages[turn][:, None] if averaged else each.confidences[turn] for each in sets]
        yield CommonScale(np.concatenate(target), normal_scores(values, among[:, kept]), pool.trained)


def pooled_differences(
    sets: Sequence[Shown], pool: ReferenceBaseline, seed: int, in_place: InPlace | None = None
) -> dict[str, Placed]:
    """By attack, the mean difference of each set, and what each holdout record adds to the whole; see the module."""
    in_place = _references_in_place(pool, seed) if in_place is None else in_place
    found = {
        name: clustered(
            np.stack([each.placed[name][0] for each in sets]),
            np.mean([each.placed[name][1] for each in sets], axis=0),
            [(outside, shown.placed[name]) for outside, shown in in_place],
        )
        for name in ONE_BY_ONE
    }
    of_forgotten, of_holdout = _cross_fitted([Beside(each.signals, each.holdout_signals) for each in sets], seed)
    apart = [(outside, _apart(shown, outside, len(sets), seed)) for outside, shown in in_place]
    together = clustered(of_forgotten.reshape(len(sets), -1), of_holdout, apart)
    found["combined_forget"] = replace(together, error_factor=SHARED_FIT_ERROR)
    found[ONLINE] = _lira_online(sets, pool)
    return found


def clustered(of_forgotten: Array, of_holdout: Array, references: Sequence[tuple[Mask, Placements]]) -> Placed:
    """Means over sets of what their models show beyond references.

    Args:
        of_forgotten: (J, S) places of the records of each set, on its own model.
        of_holdout: (H,) places of the holdout, means over the models.
        references: of each reference, which of the J · S records it was not trained on, and the places of those and
            of the H others. Every record is outside one at least.

    Returns:
        (J,) and (H,) differences, whose variances add up to that of the mean.
    """
    sums, seen = np.zeros(of_forgotten.size), np.zeros(of_forgotten.size)
    for outside, (places, _) in references:
        sums[outside] += places
        seen += outside
    should = np.mean([others for _, (_, others) in references], axis=0)
    return Placed((of_forgotten - (sums / seen).reshape(of_forgotten.shape)).mean(axis=1), of_holdout - should)


def _references_in_place(pool: ReferenceBaseline, seed: int) -> list[tuple[Mask, Shown]]:
    """Each reference as if it were the model that forgot the records that it was not trained on."""
    found = []
    for number, outside in enumerate(~pool.trained):
        if not outside.any():
            continue
        members, holdout = pool.references.shown(number)
        others, asked = seen_from(pool, number)
        retained = pool.references.trained[number].nonzero()[0]
        every = np.arange(int(outside.sum()))
        given = {"pool": others, "left_out": asked, "retained": retained, "seed": seed, "scale": pool.rmia_scale}
        found.append((outside, show(members, holdout, every, **given)))
    return found


def _apart(shown: Shown, outside: Mask, sets: int, seed: int) -> Placements:
    """The combined attack on one reference, which stands for the models of all sets."""
    number = np.repeat(np.arange(sets), len(outside) // sets)[outside]
    return _cross_fitted(
        [Beside(shown.signals[number == each], shown.holdout_signals) for each in np.unique(number)], seed
    )


def _cross_fitted(sets: Sequence[Beside], seed: int) -> Placements:
    """A logistic regression of forgotten records against the holdout: whatever sets them apart, with sets as folds.

    Neither a set nor a record of the holdout is judged by a fit that saw it. Each model of the fit gives as many of
    its holdout's records as make one holdout in all: normal scores have the same distribution in every model.

    Returns:
        The places of all forgotten records, set after set, and (H,) means over the sets that a record was judged with.
    """
    holdout = len(sets[0].holdout)
    count = min(FOLDS, len(sets), holdout)
    draw = np.random.default_rng(derive(seed, "combined_forget"))
    of_sets, of_holdout = (draw.permutation(each) % count for each in (len(sets), holdout))
    places: list[Array] = [np.full(len(each.signals), 0.5) for each in sets]
    others = np.full(holdout, 0.5)
    if count < 2:
        return np.concatenate(places), others  # nobody is left to fit on: places that tell nothing
    for fold in range(count):
        fitted = [each for each, own in zip(sets, of_sets, strict=True) if own != fold]
        turn = np.arange(holdout) % len(fitted)
        non_members = [each.holdout[(of_holdout != fold) & (turn == place)] for place, each in enumerate(fitted)]
        fit = logistic.fit(np.concatenate([each.signals for each in fitted]), np.concatenate(non_members))
        judged, beaten = of_holdout == fold, []
        for place in (of_sets == fold).nonzero()[0]:
            scores = fit.scores(sets[place].signals), fit.scores(sets[place].holdout[judged])
            places[place], of_others = placements(*scores)
            beaten.append(of_others)
        others[judged] = np.mean(beaten, axis=0)
    return np.concatenate(places), others


def _lira_online(sets: Sequence[Shown], pool: ReferenceBaseline) -> Placed:
    """Records judged among the references not trained on them, see `attacks.referenced.lira_online`: a set's part are
    its records and the references on them, and pseudo-values of a jackknife stand for the choice of the holdout."""
    whole, *tenths = (in_place_of_each_other(each) for each in _on_common_scales(sets, pool))
    areas = tuple(float(placements(*each)[0].mean()) for each in tenths)
    scores = MembershipScores(*whole, clusters=(~pool.trained).nonzero()[1], left_out=areas)
    members, non_members = scores.placements
    return Placed(_by_set(members, len(sets)) - 0.5, non_members)


def utility_lost(lost: Sequence[dict[str, Array]]) -> tuple[dict[str, Interval], dict[str, float]]:
    """Mean accuracy lost over the sets, with an interval over sets and test records, and that of the worst set.

    Args:
        lost: of each of J ≥ 2 sets, per measure, (T,) of each test record: 1 where the original alone is right, −1
            where it alone is wrong, otherwise 0.
    """
    found, worst = {}, {}
    for name in lost[0]:
        values = np.stack([each[name] for each in lost]).astype(np.float64)
        found[name] = placed_interval(values.mean(axis=1), values.mean(axis=0))
        worst[name] = float(values.mean(axis=1).max())
    return found, worst
