from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from statistics import fmean

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from unlearning.audit.attacks import lira
from unlearning.audit.statistics import auc_interval

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Lira = Callable[..., Array]
SMALLEST = 2.0**-23

BOTH = pytest.mark.parametrize("attack", [lira.online, lira.offline])
SHARED = pytest.mark.parametrize("shared", [True, False])


@dataclass(frozen=True)
class Drawn:
    """What one model and its references show, and who was a member."""

    target: Array
    reference: Array
    trained: Mask
    members: Mask

    def scores(self, attack: Lira, *, shared: bool = True) -> Array:
        return attack(self.target, self.reference, self.trained, shared_variance=shared)


def halves(draw: np.random.Generator, references: int, records: int) -> Mask:
    """Every record in half of the references."""
    ranks = np.argsort(draw.random((references, records)), axis=0)
    return ranks < references // 2


def simulate(
    seed: int,
    *,
    gap: float = 1.5,
    gap_spread: float = 0.0,
    difficulty: float = 3.0,
    references: int = 16,
    queries: int = 1,
    records: int = 200,
) -> Drawn:
    """Normal statistics of variance 1 around a difficulty of each record; training on it adds the gap.

    Half the records are members. With `gap_spread` gaps are log-normal, of the same mean.
    """
    draw = np.random.default_rng(seed)
    members = np.arange(records) < records // 2
    trained = halves(draw, references, records)
    level = draw.normal(0, difficulty, records)
    gaps = gap * np.exp(gap_spread * draw.normal(size=records) - gap_spread**2 / 2)
    target = (level + gaps * members)[:, None] + draw.normal(size=(records, queries))
    reference = (level + gaps * trained)[:, :, None] + draw.normal(size=(references, records, queries))
    return Drawn(target, reference, trained, members)


def uneven(seed: int) -> Drawn:
    """Each record in a number of references of its own, at least two, and as many out."""
    drawn = simulate(seed, records=14, references=9, queries=3, gap_spread=0.5)
    draw = np.random.default_rng(seed + 1)
    trained = np.arange(9)[:, None] < draw.integers(2, 8, 14)
    return Drawn(drawn.target, drawn.reference, draw.permuted(trained, axis=0), drawn.members)


def area(scores: Array, members: Mask) -> float:
    return auc_interval(scores[members], scores[~members]).estimate


def slow_area(scores: Sequence[float], members: Mask) -> float:
    inside = [score for score, member in zip(scores, members, strict=True) if member]
    outside = [score for score, member in zip(scores, members, strict=True) if not member]
    return fmean((a > b) + (a == b) / 2 for a in inside for b in outside)


def assert_mean(areas: Sequence[float], expected: float) -> None:
    """The mean over draws, within 4.5 of its own standard errors, which must be small enough to tell."""
    error = float(np.std(areas, ddof=1)) / math.sqrt(len(areas))
    assert 0 < error < 0.01
    assert abs(fmean(areas) - expected) < 4.5 * error


def assert_larger(first: Sequence[float], second: Sequence[float]) -> None:
    """Paired differences over draws have a mean of more than 4.5 of its standard errors."""
    differences = np.subtract(first, second)
    assert differences.mean() > 4.5 * differences.std(ddof=1) / math.sqrt(len(differences))


# The published formulas, record by record.


def values_of(drawn: Drawn, record: int, query: int, inside: bool) -> list[float]:
    """What the references on one side show of one record under one query."""
    kept = []
    for number in range(len(drawn.reference)):
        if bool(drawn.trained[number, record]) == inside:
            kept.append(float(drawn.reference[number, record, query]))
    return kept


def slow_spread(drawn: Drawn, record: int, query: int, inside: bool, shared: bool) -> float:
    """Root of the mean squared deviation from the record's own mean, of this record or of all."""
    records, queries = drawn.target.shape
    places = [(n, q) for n in range(records) for q in range(queries)] if shared else [(record, query)]
    squares = []
    for place in places:
        values = values_of(drawn, *place, inside)
        squares += [(value - fmean(values)) ** 2 for value in values]
    return math.sqrt(fmean(squares))


def slow_scores(drawn: Drawn, attack: Lira, shared: bool) -> list[float]:
    """Algorithm 1 of the paper with the shared variance of `compute_score_lira`, and its one-sided test
    as a quantile of the normal distribution."""
    scores = []
    for record in range(drawn.target.shape[0]):
        of_queries = []
        for query in range(drawn.target.shape[1]):
            value = float(drawn.target[record, query])
            sides = {
                inside: (
                    fmean(values_of(drawn, record, query, inside)),
                    slow_spread(drawn, record, query, inside, shared),
                )
                for inside in (True, False)
            }
            if attack is lira.online:
                ratio = stats.norm.logpdf(value, *sides[True]) - stats.norm.logpdf(value, *sides[False])
                of_queries.append(float(ratio))
            else:
                centre, spread = sides[False]
                of_queries.append((value - centre) / spread)
        scores.append(fmean(of_queries))
    return scores


@BOTH
@SHARED
@pytest.mark.parametrize("make", [uneven, lambda seed: simulate(seed, records=12, references=6, queries=2)])
@pytest.mark.parametrize("seed", range(3))
def test_scores_and_area_are_those_of_the_published_formulas(
    attack: Lira, shared: bool, make: Callable[[int], Drawn], seed: int
) -> None:
    drawn = make(seed)
    found, expected = drawn.scores(attack, shared=shared), slow_scores(drawn, attack, shared)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert area(found, drawn.members) == pytest.approx(slow_area(expected, drawn.members), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_one_query_offline_orders_records_as_the_one_sided_test_of_the_paper(seed: int) -> None:
    drawn = simulate(seed, references=8)
    expected = []
    for record, (value,) in enumerate(drawn.target):
        outside = values_of(drawn, record, 0, inside=False)
        expected.append(1 - float(stats.norm.sf(value, fmean(outside), np.std(outside))))
    found = drawn.scores(lira.offline, shared=False)
    np.testing.assert_allclose(stats.norm.cdf(found), expected, atol=1e-12)
    # Further out the digits of the paper's score run out.
    told = np.abs(found) < 5
    assert told.mean() > 0.8
    np.testing.assert_array_equal(np.argsort(found[told]), np.argsort(np.array(expected)[told]))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(4, 7),
    st.sampled_from([lira.online, lira.offline]),
    st.booleans(),
)
def test_any_small_set_scores_as_the_loop_does(
    seed: int, records: int, queries: int, references: int, attack: Lira, shared: bool
) -> None:
    draw = np.random.default_rng(seed)
    trained = np.arange(references)[:, None] < draw.integers(2, references - 1, records)
    reference = draw.normal(size=(references, records, queries))
    drawn = Drawn(draw.normal(size=(records, queries)), reference, trained, np.zeros(records, dtype=bool))
    np.testing.assert_allclose(
        drawn.scores(attack, shared=shared), slow_scores(drawn, attack, shared), rtol=1e-7, atol=1e-7
    )


# Known answers.


def exact_references(level: Array, gaps: Array, spread: Array) -> tuple[Array, Mask]:
    """Four references whose means and deviations are the parameters themselves: two one deviation below
    and above the level, two about level + gap."""
    outside = [level - spread, level + spread]
    inside = [value + gaps for value in outside]
    trained = np.repeat([[False], [False], [True], [True]], len(level), axis=1)
    return np.stack([*outside, *inside])[:, :, None], trained


@BOTH
@SHARED
@pytest.mark.parametrize("separation", [0.5, 1.0, 2.0])
def test_with_known_distributions_the_area_is_that_of_the_best_test(
    attack: Lira, shared: bool, separation: float
) -> None:
    """Φ(d / √2), however different the records' difficulties; their deviations, too, where each has its
    own variance. The population threshold knows nothing of either."""
    areas, thresholds = [], []
    for seed in range(60):
        draw = np.random.default_rng(seed)
        members = np.arange(300) < 150
        level = draw.normal(0, 15, 300)
        spread = np.ones(300) if shared else draw.uniform(0.2, 3, 300)
        reference, trained = exact_references(level, separation * spread, spread)
        target = (level + spread * (separation * members + draw.normal(size=300)))[:, None]
        areas.append(area(attack(target, reference, trained, shared_variance=shared), members))
        thresholds.append(area(target[:, 0], members))
    assert_mean(areas, float(stats.norm.cdf(separation / math.sqrt(2))))
    assert fmean(thresholds) < 0.6


@pytest.mark.parametrize(("references", "queries"), [(4, 1), (4, 3), (16, 1)])
def test_offline_loses_to_the_best_test_what_its_estimated_mean_costs(references: int, queries: int) -> None:
    """target − mean_out of n references has variance (1 + 1/n) / Q: the area is Φ(d √Q / √(2 (1 + 1/n))).
    The population threshold reaches Φ(d / √(2 (1 / Q + τ²))) with difficulties of deviation τ = 3."""
    drawn = [simulate(seed, gap=1.0, references=references, queries=queries, records=300) for seed in range(60)]
    areas = [area(each.scores(lira.offline), each.members) for each in drawn]
    variance = (1 + 2 / references) / queries
    assert_mean(areas, float(stats.norm.cdf(1 / math.sqrt(2 * variance))))
    thresholds = [area(each.target.mean(axis=1), each.members) for each in drawn]
    assert_mean(thresholds, float(stats.norm.cdf(1 / math.sqrt(2 * (1 / queries + 9)))))
    assert fmean(thresholds) < 0.6


def test_online_nears_the_best_test_with_many_references() -> None:
    """It is below Φ(d / √2) with few, and within one hundredth with 128."""
    few = [simulate(seed, references=4) for seed in range(40)]
    many = [simulate(seed, references=128) for seed in range(40)]
    best = float(stats.norm.cdf(1.5 / math.sqrt(2)))
    areas = [area(each.scores(lira.online), each.members) for each in many]
    error = float(np.std(areas, ddof=1)) / math.sqrt(len(areas))
    assert abs(fmean(areas) - best) < 4.5 * error + 0.01
    assert_larger(areas, [area(each.scores(lira.online), each.members) for each in few])


@BOTH
@SHARED
@pytest.mark.parametrize("references", [4, 16])
def test_without_a_gap_the_area_is_one_half(attack: Lira, shared: bool, references: int) -> None:
    drawn = [simulate(seed, gap=0.0, references=references) for seed in range(100)]
    assert_mean([area(each.scores(attack, shared=shared), each.members) for each in drawn], 0.5)


@BOTH
def test_both_beat_the_population_threshold_by_far(attack: Lira) -> None:
    drawn = [simulate(seed, gap=1.5, difficulty=5.0) for seed in range(40)]
    areas = [area(each.scores(attack), each.members) for each in drawn]
    thresholds = [area(each.target[:, 0], each.members) for each in drawn]
    assert 0.5 < fmean(thresholds) < 0.62
    assert fmean(areas) > 0.8
    assert_larger(areas, np.add(thresholds, 0.15).tolist())


@BOTH
def test_a_shared_variance_is_better_with_few_references(attack: Lira) -> None:
    drawn = [simulate(seed, references=6) for seed in range(40)]
    shared = [area(each.scores(attack), each.members) for each in drawn]
    assert_larger(shared, [area(each.scores(attack, shared=False), each.members) for each in drawn])


@pytest.mark.parametrize("references", [16, 64])
def test_online_is_stronger_where_records_are_memorised_differently(references: int) -> None:
    """Only it knows which records would have shown a gap."""
    drawn = [simulate(seed, gap_spread=1.0, references=references) for seed in range(40)]
    with_inside = [area(each.scores(lira.online), each.members) for each in drawn]
    assert_larger(with_inside, [area(each.scores(lira.offline), each.members) for each in drawn])


def test_more_queries_tell_more() -> None:
    for attack in (lira.online, lira.offline):
        many = [simulate(seed, queries=4) for seed in range(30)]
        one = [Drawn(each.target[:, :1], each.reference[:, :, :1], each.trained, each.members) for each in many]
        assert_larger(
            [area(each.scores(attack), each.members) for each in many],
            [area(each.scores(attack), each.members) for each in one],
        )


# What must not matter, and what must.


@BOTH
def test_neither_level_nor_unit_of_a_record_matters_with_a_variance_of_its_own(attack: Lira) -> None:
    drawn = simulate(0, queries=3)
    draw = np.random.default_rng(9)
    unit, level = draw.uniform(0.01, 50, (200, 3)), draw.normal(0, 100, (200, 3))
    changed = Drawn(drawn.target * unit + level, drawn.reference * unit + level, drawn.trained, drawn.members)
    np.testing.assert_allclose(
        changed.scores(attack, shared=False), drawn.scores(attack, shared=False), rtol=1e-7, atol=1e-7
    )


@BOTH
def test_neither_level_of_a_record_nor_unit_of_all_matters_with_a_shared_variance(attack: Lira) -> None:
    drawn = simulate(0, queries=3)
    level = np.random.default_rng(9).normal(0, 100, (200, 3))
    changed = Drawn(7 * drawn.target + level, 7 * drawn.reference + level, drawn.trained, drawn.members)
    np.testing.assert_allclose(changed.scores(attack), drawn.scores(attack), rtol=1e-7, atol=1e-7)


@BOTH
@SHARED
def test_order_of_references_records_and_queries_does_not_matter(attack: Lira, shared: bool) -> None:
    drawn = uneven(0)
    draw = np.random.default_rng(1)
    references, records, queries = (draw.permutation(count) for count in drawn.reference.shape)
    found = attack(
        drawn.target[records][:, queries],
        drawn.reference[references][:, records][:, :, queries],
        drawn.trained[references][:, records],
        shared_variance=shared,
    )
    np.testing.assert_allclose(found, drawn.scores(attack, shared=shared)[records], rtol=1e-10, atol=1e-12)


@SHARED
def test_exchanging_in_and_out_turns_the_online_score_round(shared: bool) -> None:
    drawn = uneven(0)
    turned = lira.online(drawn.target, drawn.reference, ~drawn.trained, shared_variance=shared)
    np.testing.assert_allclose(turned, -drawn.scores(lira.online, shared=shared), rtol=1e-12)


@SHARED
def test_offline_never_looks_at_references_that_were_trained_on_the_record(shared: bool) -> None:
    drawn = uneven(0)
    spoiled = np.where(drawn.trained[:, :, None], 1e6, drawn.reference)
    found = lira.offline(drawn.target, spoiled, drawn.trained, shared_variance=shared)
    np.testing.assert_array_equal(found, drawn.scores(lira.offline, shared=shared))


@SHARED
def test_larger_means_member(shared: bool) -> None:
    level = np.array([-30.0, 0.0, 30.0])
    reference, trained = exact_references(level, np.full(3, 4.0), np.ones(3))
    at = {
        name: [attack((level + shift)[:, None], reference, trained, shared_variance=shared) for shift in range(6)]
        for name, attack in (("online", lira.online), ("offline", lira.offline))
    }
    for scores in at.values():
        assert all((later > earlier).all() for earlier, later in itertools.pairwise(scores))
    np.testing.assert_allclose(at["offline"], np.repeat(np.arange(6.0)[:, None], 3, axis=1), atol=1e-12)
    # Half-way between the means an online score tells nothing; d²/2 at either mean.
    np.testing.assert_allclose(at["online"][2], 0, atol=1e-12)
    np.testing.assert_allclose(at["online"][4], 8)
    np.testing.assert_allclose(at["online"][0], -8)


def test_the_surest_members_do_not_tie() -> None:
    """As probabilities they do: Φ of all four is 1."""
    reference, trained = exact_references(np.zeros(4), np.full(4, 4.0), np.ones(4))
    target = np.array([[9.0], [12.0], [40.0], [1e5]])
    for attack in (lira.online, lira.offline):
        scores = attack(target, reference, trained)
        assert (np.diff(scores) > 0).all()
        assert np.isfinite(scores).all()
    assert (stats.norm.cdf(target) == 1).all()


def test_an_over_forgotten_record_reads_low_though_the_published_code_would_call_it_a_member() -> None:
    reference, trained = exact_references(np.zeros(3), np.full(3, 4.0), np.ones(3))
    target = np.array([[-5.0], [0.0], [3.0]])
    np.testing.assert_array_equal(np.argsort(lira.offline(target, reference, trained)), [0, 1, 2])
    two_sided = -stats.norm.logpdf(target[:, 0], 0, 1)
    np.testing.assert_array_equal(np.argsort(two_sided), [1, 2, 0])


@BOTH
@SHARED
def test_references_that_all_show_the_same_give_a_finite_score(attack: Lira, shared: bool) -> None:
    trained = np.repeat([[True], [False]], 3, axis=0)[:, [0, 0]]
    reference = np.full((6, 2, 1), 0.1)
    scores = attack(np.array([[0.1], [0.2]]), reference, trained, shared_variance=shared)
    assert np.isfinite(scores).all()
    assert scores[0] == pytest.approx(0, abs=1e-9)


def test_the_mean_of_equal_values_is_that_value_so_that_records_that_tie_stay_tied() -> None:
    draw = np.random.default_rng(0)
    values = np.repeat(draw.normal(size=(1, 400, 2)), 14, axis=0)
    chosen = draw.random((14, 400)) < 0.5
    chosen[:2], chosen[2:4] = True, False
    assert np.array_equal(lira.centre(values, chosen), values[0])
    assert set(lira.offline(values[0], values, ~chosen)) == {0.0}
    assert set(lira.online(values[0], values, chosen)) == {0.0}


# The statistic.


def slow_logit(loss: float) -> float:
    with localcontext() as context:
        context.prec = 400
        confidence = (-Decimal(loss)).exp()
        return float((confidence / (1 - confidence)).ln())


@given(st.floats(SMALLEST, 700))
def test_the_logit_is_that_of_exact_arithmetic(loss: float) -> None:
    # Around p = 1/2 the logit itself vanishes, hence an absolute tolerance beside the relative one.
    assert float(lira.logit_confidence(np.array(loss))) == pytest.approx(slow_logit(loss), rel=1e-13, abs=1e-14)


def test_the_logit_at_known_losses() -> None:
    losses = np.array([[math.log(2), 0.0, SMALLEST], [1e4, SMALLEST / 1000, -1e-7]])
    found = lira.logit_confidence(losses)
    largest = 23 * math.log(2)
    np.testing.assert_allclose(found, [[0, largest, largest], [-1e4, largest, largest]], rtol=1e-7, atol=1e-15)
    assert lira.logit_confidence(losses.astype(np.float32).astype(np.float64)).dtype == np.float64
    byol = lira.logit_confidence(np.array([0.0, 2.0, 4.0]))
    assert byol.tolist() == sorted(byol.tolist(), reverse=True)


@given(st.floats(SMALLEST, 600), st.floats(1e-6, 50))
def test_a_smaller_loss_has_a_larger_logit(loss: float, more: float) -> None:
    smaller, larger = lira.logit_confidence(np.array([loss, loss * (1 + more)]))
    assert smaller > larger


def test_logits_of_normal_confidences_are_normal_again() -> None:
    values = np.random.default_rng(0).normal(0, 4, 1000)
    losses = np.logaddexp(0, -values)
    np.testing.assert_allclose(lira.logit_confidence(losses), values, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("loss", [-0.1, math.nan, math.inf, -math.inf])
def test_what_is_no_loss_is_an_error(loss: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        lira.logit_confidence(np.array([1.0, loss]))


# Errors.


def test_online_needs_two_references_on_either_side_and_offline_two_outside() -> None:
    drawn = simulate(0, records=3, references=4)
    one_in = np.array([[True, False, False, False]] * 3).T
    one_out = ~one_in
    with pytest.raises(ValueError, match="3 records have fewer than 2 references trained on it"):
        lira.online(drawn.target, drawn.reference, one_in)
    assert np.isfinite(lira.offline(drawn.target, drawn.reference, one_in)).all()
    for attack in (lira.online, lira.offline):
        with pytest.raises(ValueError, match="3 records have fewer than 2 references not trained on it"):
            attack(drawn.target, drawn.reference, one_out)
        with pytest.raises(ValueError, match="fewer than 2 references"):
            attack(drawn.target, drawn.reference[:0], one_out[:0])


def test_one_record_with_too_few_is_enough() -> None:
    drawn = simulate(0, records=5, references=4)
    trained = drawn.trained.copy()
    trained[:, 3] = [True, True, True, False]
    for attack in (lira.online, lira.offline):
        with pytest.raises(ValueError, match="1 records have fewer than 2 references not trained on it"):
            attack(drawn.target, drawn.reference, trained)


@BOTH
@pytest.mark.parametrize(
    ("target", "reference", "trained"),
    [
        ((5,), (4, 5, 2), (4, 5)),
        ((5, 2, 1), (4, 5, 2), (4, 5)),
        ((5, 1), (4, 5, 2), (4, 5)),
        ((1, 2), (4, 5, 2), (4, 5)),
        ((5, 2), (5, 2), (4, 5)),
        ((5, 2), (4, 5, 2), (5, 4)),
        ((5, 2), (4, 5, 2), (4, 1)),
        ((5, 2), (4, 5, 2), (4, 5, 2)),
        ((5, 0), (4, 5, 0), (4, 5)),
    ],
)
def test_shapes_that_do_not_fit_are_an_error(
    attack: Lira, target: tuple[int, ...], reference: tuple[int, ...], trained: tuple[int, ...]
) -> None:
    mask = np.zeros(trained, dtype=bool)
    mask[:2] = True
    with pytest.raises(ValueError, match="are needed"):
        attack(np.zeros(target), np.zeros(reference), mask)


@BOTH
def test_a_mask_of_numbers_is_an_error(attack: Lira) -> None:
    drawn = simulate(0, records=5, references=4)
    with pytest.raises(ValueError, match="booleans"):
        attack(drawn.target, drawn.reference, drawn.trained.astype(np.int64))


@BOTH
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_an_error(attack: Lira, bad: float) -> None:
    drawn = simulate(0, records=5, references=4)
    for name in ("target", "reference"):
        arrays = {"target": drawn.target.copy(), "reference": drawn.reference.copy()}
        arrays[name].flat[0] = bad
        with pytest.raises(ValueError, match="finite"):
            attack(arrays["target"], arrays["reference"], drawn.trained)
