from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from unlearning.audit.attacks import REFERENCE_ATTACKS, u_lira
from unlearning.audit.attacks.base import MembershipScores
from unlearning.audit.attacks.lira import logit_confidence
from unlearning.audit.attacks.referenced import ReferencedLosses, normal_scores
from unlearning.audit.attacks.u_lira import UnlearnedLosses
from unlearning.audit.references.training import halves
from unlearning.audit.statistics import auc_interval, placements

Array = npt.NDArray[np.float64]
RECORDS, COUNT, QUERIES = 60, 8, 3


@dataclass(frozen=True)
class World:
    """Training on a record lowers its loss by `TAUGHT`; the method leaves `left` of that."""

    seed: int
    left: float
    """Of the references that are made to forget."""

    def losses(self, shows: float, *, surer: float = 0.0) -> UnlearnedLosses:
        """A model under attack that shows `shows` times what training does."""
        draw = np.random.default_rng(self.seed)
        trained = halves(RECORDS, COUNT, self.seed)
        level = draw.normal(size=2 * RECORDS)

        def shown(known: Array, surer: float = 0.0) -> Array:
            effect = TAUGHT * np.append(known, np.zeros(RECORDS)) + surer
            noise = draw.normal(scale=0.5, size=(2 * RECORDS, QUERIES))
            return np.asarray(np.log1p(np.exp(level[:, None] - effect[:, None] + noise)))

        before = np.stack([shown(mask.astype(float)) for mask in trained])
        # A method changes a model as a whole too, here to be less sure of everything.
        after = np.stack([shown(self.left * mask, surer=-0.5) for mask in trained])
        target = shown(np.full(RECORDS, shows), surer)
        plain = ReferencedLosses(
            forget=target[:RECORDS],
            holdout=target[RECORDS:],
            reference_forget=before[:, :RECORDS],
            reference_holdout=before[:, RECORDS:],
            trained=trained,
            left_out=halves(RECORDS, COUNT, self.seed + 1),
            rmia_scale=0.3,
        )
        return UnlearnedLosses(plain, after[:, :RECORDS], after[:, RECORDS:])


TAUGHT = 1.5


def area(scores: MembershipScores) -> float:
    return auc_interval(*scores.pair).estimate


def areas(shows: float, left: float, *, seeds: int = 30, surer: float = 0.0) -> list[float]:
    return [area(u_lira(World(seed, left).losses(shows, surer=surer))) for seed in range(seeds)]


def error_of(values: list[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


# The formula, record by record.


def slow_place(value: float, among: Array) -> float:
    """Normal quantile of a value's place among all values of a model's holdout."""
    below, ties = (sum(float(each) < value for each in among.flat), sum(float(each) == value for each in among.flat))
    return float(stats.norm.ppf((2 * below + ties + 1) / (2 * among.size + 2)))


def slow_shown(losses: UnlearnedLosses) -> Array:
    """(J, F, Q) places of what is asked of each reference: after forgetting of what it was trained on."""
    plain, shown = losses.trained, np.zeros((COUNT, RECORDS, QUERIES))
    for k in range(COUNT):
        for n in range(RECORDS):
            after = bool(plain.trained[k, n])
            values = logit_confidence((losses.forget if after else plain.reference_forget)[k, n])
            among = logit_confidence((losses.holdout if after else plain.reference_holdout)[k])
            shown[k, n] = [slow_place(float(value), among) for value in values]
    return shown


def slow_scores(losses: UnlearnedLosses) -> tuple[list[float], list[float]]:
    """Of the model, and of the references not trained on a record, reference by reference."""
    plain = losses.trained
    target, target_among = logit_confidence(plain.forget), logit_confidence(plain.holdout)
    shown = slow_shown(losses)
    own = [[slow_place(float(value), target_among) for value in record] for record in target]

    def spread(left: int, inside: bool) -> float:
        """One for all records that the reference left out was not trained on, and all queries."""
        squares = []
        for n in range(RECORDS):
            others = [k for k in range(COUNT) if k != left and bool(plain.trained[k, n]) == inside]
            if not plain.trained[left, n]:
                for q in range(QUERIES):
                    mean = fmean(shown[k, n, q] for k in others)
                    squares += [(float(shown[k, n, q]) - mean) ** 2 for k in others]
        return float(fmean(squares) ** 0.5)

    def ratio(values: list[float], n: int, left: int, spreads: tuple[float, float]) -> float:
        found = []
        for q, value in enumerate(values):
            means = [
                fmean(shown[k, n, q] for k in range(COUNT) if k != left and bool(plain.trained[k, n]) == inside)
                for inside in (True, False)
            ]
            densities = [stats.norm.logpdf(value, *each) for each in zip(means, spreads, strict=True)]
            found.append(float(densities[0] - densities[1]))
        return fmean(found)

    ours: list[list[float]] = [[] for _ in range(RECORDS)]
    theirs = []
    for left in range(COUNT):
        spreads = spread(left, True), spread(left, False)
        for n in range(RECORDS):
            if not plain.trained[left, n]:
                ours[n].append(ratio(own[n], n, left, spreads))
                theirs.append(ratio([float(each) for each in shown[left, n]], n, left, spreads))
    return [fmean(each) for each in ours], theirs


@pytest.mark.parametrize("seed", range(2))
def test_scores_are_log_ratios_of_having_unlearned_a_record_to_never_having_seen_it(seed: int) -> None:
    losses = World(seed, 0.3).losses(0.4)
    found, (ours, theirs) = u_lira(losses), slow_scores(losses)
    np.testing.assert_allclose(found.forget, ours, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.holdout, theirs, rtol=1e-9, atol=1e-9)


# Known answers.


@pytest.mark.parametrize("left", [0.4, 1.0, -0.6])
def test_records_that_were_never_trained_on_look_like_those_of_other_such_models(left: float) -> None:
    values = areas(0.0, left)
    assert error_of(values) < 0.02
    assert abs(fmean(values) - 0.5) < 4 * error_of(values)


def test_a_model_that_is_surer_of_everything_is_taken_for_nothing_else() -> None:
    values = areas(0.0, 0.4, surer=0.7)
    assert abs(fmean(values) - 0.5) < 4 * error_of(values)


def test_a_method_that_only_pretends_is_found() -> None:
    assert fmean(areas(1.0, 1.0, seeds=10)) > 0.85


def test_what_a_method_leaves_is_found() -> None:
    assert fmean(areas(0.5, 0.5, seeds=10)) > 0.65


def test_records_that_are_pushed_too_far_are_found_as_well() -> None:
    """For an attack that looks for members they lie at the other end."""
    assert fmean(areas(-1.0, -1.0, seeds=10)) > 0.85
    online = [area(REFERENCE_ATTACKS["lira_online"](World(seed, -1.0).losses(-1.0).trained)) for seed in range(10)]
    assert fmean(online) < 0.15


def test_a_method_that_leaves_nothing_is_not_found() -> None:
    values = areas(0.0, 0.0)
    assert abs(fmean(values) - 0.5) < 4 * error_of(values)


@pytest.mark.slow
def test_intervals_hold_one_half_as_often_as_they_say() -> None:
    held, runs = 0, 400
    for seed in range(runs):
        scores = u_lira(World(seed, 0.5).losses(0.0))
        interval = auc_interval(*scores.pair, error_factor=scores.error_factor)
        held += interval.low <= 0.5 <= interval.high
    # 95 % wanted; 3 standard errors of 400 runs are 3.3 points.
    assert 0.917 < held / runs < 0.983


# What must not matter.


def test_references_that_forget_nothing_make_it_online_lira() -> None:
    losses = World(0, 1.0).losses(0.7)
    plain = losses.trained
    same = UnlearnedLosses(plain, plain.reference_forget, plain.reference_holdout)
    found, expected = u_lira(same), REFERENCE_ATTACKS["lira_online"](plain)
    assert np.array_equal(found.forget, expected.forget)
    assert np.array_equal(found.holdout, expected.holdout)
    assert (found.error_factor, found.left_out) == (expected.error_factor, expected.left_out)


def test_what_a_reference_shows_that_is_not_asked_does_not_matter() -> None:
    """Before forgetting of what it was trained on, after it of what it was not."""
    losses = World(0, 0.5).losses(0.5)
    plain, among = losses.trained, losses.trained.trained[..., None]
    spoiled = UnlearnedLosses(
        replace(plain, reference_forget=np.where(among, 50.0, plain.reference_forget)),
        np.where(among, losses.forget, 50.0),
        losses.holdout,
    )
    assert np.array_equal(u_lira(spoiled).forget, u_lira(losses).forget)
    assert np.array_equal(u_lira(spoiled).holdout, u_lira(losses).holdout)


def test_how_sure_a_method_leaves_a_model_of_everything_does_not_matter() -> None:
    losses = World(0, 0.5).losses(0.5)

    def surer(values: Array) -> Array:
        """A monotone change of all losses of a model."""
        return values**2 / 3

    changed = UnlearnedLosses(losses.trained, surer(losses.forget), surer(losses.holdout))
    np.testing.assert_allclose(u_lira(changed).forget, u_lira(losses).forget, rtol=1e-9)


def test_the_place_in_the_holdout_makes_the_scale_of_each_state_of_a_reference() -> None:
    """A reference's confidences after forgetting are put among its holdout after forgetting."""
    losses = World(0, 0.5).losses(0.5)
    wrong = UnlearnedLosses(losses.trained, losses.forget, losses.trained.reference_holdout)
    assert not np.allclose(u_lira(wrong).forget, u_lira(losses).forget)
    after = normal_scores(logit_confidence(losses.forget), logit_confidence(losses.holdout))
    assert after.shape == losses.forget.shape


def test_non_members_come_in_clusters_around_the_forgotten_records() -> None:
    losses = World(0, 0.5).losses(0.5)
    found = u_lira(losses)
    assert found.clusters is not None
    assert len(found.holdout) == len(found.clusters) == int((~losses.trained.trained).sum()) == RECORDS * COUNT // 2
    assert set(found.clusters) == set(range(RECORDS))
    assert len(found.left_out) == 10
    assert float(placements(*found.pair)[0].mean()) == area(found)


def test_a_record_that_too_few_references_know_is_an_error() -> None:
    losses = World(0, 0.5).losses(0.5)
    trained = losses.trained.trained.copy()
    trained[1:, 0] = False
    with pytest.raises(ValueError, match="1 records have fewer than 2 references trained on it"):
        u_lira(replace(losses, trained=replace(losses.trained, trained=trained)))
