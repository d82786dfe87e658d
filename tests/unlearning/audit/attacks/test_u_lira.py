from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from unlearning.audit.attacks import REFERENCE_ATTACKS, u_lira
from unlearning.audit.attacks.base import MembershipScores
from unlearning.audit.attacks.lira import logit_confidence
from unlearning.audit.attacks.referenced import ReferencedLosses
from unlearning.audit.attacks.trained_alike import as_trained_alike
from unlearning.audit.references.training import halves
from unlearning.audit.statistics import auc_interval

Array = npt.NDArray[np.float64]
RECORDS, COUNT, QUERIES = 60, 8, 3
TAUGHT = 1.5
"""By how much training on a record lowers its loss."""


@dataclass(frozen=True)
class World:
    """The method leaves `left` of what training taught of a record, moves others by `aside` (each its own way), pushes
    whatever is like the forgotten records by `pushed`, trained on or not, and leaves a `trace` on what it forgets: more
    of some records, less of others."""

    seed: int
    left: float
    aside: float = 0.0
    trace: float = 0.0
    pushed: float = 0.0

    def losses(self, shows: float, *, traced: float = 0.0, surer: float = 0.0, forgot: bool = True) -> ReferencedLosses:
        """A model under attack beside references.

        Args:
            shows: of every forgotten record, how much of what training does.
            traced: how much of the trace.
            surer: of everything.
            forgot: whether the references are shown after they forgot.
        """
        draw = np.random.default_rng(self.seed)
        trained = halves(RECORDS, COUNT, self.seed)
        level, moved = draw.normal(size=(2, 2 * RECORDS))
        moved = self.aside * moved + np.repeat([self.pushed, 0.0], RECORDS)
        signs = draw.permutation(np.repeat([1.0, -1.0], RECORDS // 2))

        def shown(known: Array, traced: Array, surer: float = 0.0, *, unlearned: bool = True) -> Array:
            own = np.append(TAUGHT * known + self.trace * traced, np.zeros(RECORDS))
            noise = draw.normal(scale=0.5, size=(2 * RECORDS, QUERIES))
            unsure = level - own - unlearned * moved - surer
            return np.asarray(np.log1p(np.exp(unsure[:, None] + noise)))

        left = self.left if forgot else 1.0
        others = np.stack([shown(left * mask, forgot * mask * signs, unlearned=forgot) for mask in trained])
        target = shown(np.full(RECORDS, shows), traced * signs, surer)
        return ReferencedLosses(
            forget=target[:RECORDS],
            holdout=target[RECORDS:],
            reference_forget=others[:, :RECORDS],
            reference_holdout=others[:, RECORDS:],
            trained=trained,
            left_out=halves(RECORDS, COUNT, self.seed + 1),
            rmia_scale=0.3,
        )


def area(scores: MembershipScores) -> float:
    return auc_interval(*scores.pair).estimate


def areas(shows: float, left: float, *, seeds: int = 30, aside: float = 0.0, surer: float = 0.0) -> list[float]:
    return [area(u_lira(World(seed, left, aside).losses(shows, surer=surer))) for seed in range(seeds)]


def error_of(values: list[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


# The formula, record by record.


def slow_place(value: float, among: Array) -> float:
    """Normal quantile of a value's place among all values of a model's holdout."""
    below, ties = (sum(float(each) < value for each in among.flat), sum(float(each) == value for each in among.flat))
    return float(stats.norm.ppf((2 * below + ties + 1) / (2 * among.size + 2)))


def slow_places(losses: Array, holdout: Array) -> list[list[float]]:
    """(N, Q) of one model."""
    among = logit_confidence(holdout)
    return [[slow_place(float(value), among) for value in record] for record in logit_confidence(losses)]


def slow_scores(losses: ReferencedLosses) -> tuple[list[float], list[float]]:
    """Of the model, and of the references not trained on a record, reference by reference."""
    shown = [slow_places(*each) for each in zip(losses.reference_forget, losses.reference_holdout, strict=True)]
    of_holdout = [slow_places(each, each) for each in (losses.holdout, *losses.reference_holdout)]
    places = (slow_places(losses.forget, losses.holdout), of_holdout[0], shown, of_holdout[1:])
    target, its_holdout, reference, their_holdout = (np.asarray(each) for each in places)
    alike = as_trained_alike(target, its_holdout, reference, their_holdout, losses.trained, losses.left_out)
    own: list[list[float]] = alike.tolist()

    def side(n: int, left: int, inside: bool) -> list[int]:
        return [k for k in range(COUNT) if k != left and bool(losses.trained[k, n]) == inside]

    def spread(left: int, inside: bool) -> float:
        """One for all records that the reference left out was not trained on, and all queries."""
        squares = []
        for n in (n for n in range(RECORDS) if not losses.trained[left, n]):
            for q in range(QUERIES):
                values = [shown[k][n][q] for k in side(n, left, inside)]
                squares += [(value - fmean(values)) ** 2 for value in values]
        return float(fmean(squares) ** 0.5)

    def ratio(values: list[float], n: int, left: int, spreads: tuple[float, float]) -> float:
        found = []
        for q, value in enumerate(values):
            means = [fmean(shown[k][n][q] for k in side(n, left, inside)) for inside in (True, False)]
            densities = [stats.norm.logpdf(value, *each) for each in zip(means, spreads, strict=True)]
            found.append(float(densities[0] - densities[1]))
        return fmean(found)

    ours: list[list[float]] = [[] for _ in range(RECORDS)]
    theirs = []
    for left in range(COUNT):
        spreads = spread(left, True), spread(left, False)
        for n in (n for n in range(RECORDS) if not losses.trained[left, n]):
            ours[n].append(ratio(own[n], n, left, spreads))
            theirs.append(ratio(shown[left][n], n, left, spreads))
    return [fmean(each) for each in ours], theirs


@pytest.mark.parametrize("seed", range(2))
def test_scores_are_log_ratios_of_having_unlearned_a_record_to_never_having_seen_it(seed: int) -> None:
    losses = World(seed, 0.3, 0.5).losses(0.4)
    found, (ours, theirs) = u_lira(losses), slow_scores(losses)
    np.testing.assert_allclose(found.forget, ours, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.holdout, theirs, rtol=1e-9, atol=1e-9)


# Known answers.


@pytest.mark.parametrize("left", [0.4, 1.0, -0.6])
@pytest.mark.parametrize("aside", [0.0, 1.0])
def test_records_that_were_never_trained_on_look_like_those_of_other_models_that_had_others_to_forget(
    left: float, aside: float
) -> None:
    """However much the method moves records that it was not told to forget."""
    values = areas(0.0, left, aside=aside)
    assert error_of(values) < 0.02
    assert abs(fmean(values) - 0.5) < 4 * error_of(values)


def test_a_model_that_is_surer_of_everything_is_taken_for_nothing_else() -> None:
    values = areas(0.0, 0.4, surer=0.7)
    assert abs(fmean(values) - 0.5) < 4 * error_of(values)


def test_a_method_that_only_pretends_is_found() -> None:
    assert fmean(areas(1.0, 1.0, seeds=10)) > 0.85


def test_what_a_method_leaves_is_found() -> None:
    assert fmean(areas(0.5, 0.5, seeds=10, aside=1.0)) > 0.65


def test_records_that_are_pushed_too_far_are_found_as_well() -> None:
    """For an attack that looks for members they lie at the other end."""
    assert fmean(areas(-1.0, -1.0, seeds=10)) > 0.85
    offline = [area(REFERENCE_ATTACKS["lira_offline"](World(seed, -1.0).losses(-1.0))) for seed in range(10)]
    assert fmean(offline) < 0.15


def test_a_trace_that_differs_from_record_to_record_is_found_where_plain_lira_misses_it() -> None:
    """Half of the records look more like members than before, half less: on average nothing is left of training."""
    worlds = [World(seed, 0.0, aside=0.5, trace=1.5) for seed in range(20)]
    online = REFERENCE_ATTACKS["lira_online"]
    assert fmean(area(u_lira(world.losses(0.0, traced=1.0))) for world in worlds) > 0.85
    assert abs(fmean(area(online(world.losses(0.0, traced=1.0, forgot=False))) for world in worlds) - 0.5) < 0.1
    # A model that was made to forget others has no trace on these records.
    values = [area(u_lira(world.losses(0.0))) for world in worlds]
    assert abs(fmean(values) - 0.5) < 4 * error_of(values)


def test_what_a_method_does_to_whatever_is_like_the_forgotten_is_no_sign_of_having_been_forgotten() -> None:
    """Beside references that forgot nothing it is: why those in the model's place must have been through it too."""
    worlds = [World(seed, 0.4, pushed=-1.0) for seed in range(30)]
    values = [area(u_lira(world.losses(0.0))) for world in worlds]
    assert abs(fmean(values) - 0.5) < 4 * error_of(values)
    online = REFERENCE_ATTACKS["lira_online"]
    assert fmean(area(online(world.losses(0.0, forgot=False))) for world in worlds) < 0.35


def test_a_method_that_leaves_nothing_is_not_found() -> None:
    values = areas(0.0, 0.0, aside=1.0)
    assert abs(fmean(values) - 0.5) < 4 * error_of(values)


@pytest.mark.slow
def test_intervals_hold_one_half_as_often_as_they_say() -> None:
    held, runs = 0, 400
    for seed in range(runs):
        scores = u_lira(World(seed, 0.5, 0.5).losses(0.0))
        interval = auc_interval(*scores.pair, error_factor=scores.error_factor)
        held += interval.low <= 0.5 <= interval.high
    # 95 % wanted; 3 standard errors of 400 runs are 3.3 points.
    assert 0.917 < held / runs < 0.983


def test_non_members_come_in_clusters_around_the_forgotten_records() -> None:
    losses = World(0, 0.5).losses(0.5)
    found = u_lira(losses)
    assert found.clusters is not None
    assert len(found.holdout) == len(found.clusters) == int((~losses.trained).sum()) == RECORDS * COUNT // 2
    assert set(found.clusters) == set(range(RECORDS))
    assert len(found.left_out) == 10
