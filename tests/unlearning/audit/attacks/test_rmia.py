from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from unlearning.audit.attacks import rmia
from unlearning.audit.statistics import auc_interval

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rmia = Callable[..., Array]

BOTH = pytest.mark.parametrize("attack", [rmia.online, rmia.offline])


@dataclass(frozen=True)
class Group:
    """What one model and its references give some records."""

    target: Array
    reference: Array
    trained: Mask


@dataclass(frozen=True)
class Drawn:
    records: Group
    population: Group
    members: Mask

    def with_part(self, part: str, group: Group) -> Drawn:
        return replace(self, records=group) if part == "records" else replace(self, population=group)

    def scores(self, attack: Rmia, **settings: float) -> Array:
        x, z = self.records, self.population
        return attack(x.target, x.reference, x.trained, z.target, z.reference, z.trained, **settings)


def halves(draw: np.random.Generator, references: int, records: int) -> Mask:
    """Every record in half of the references."""
    return np.argsort(draw.random((references, records)), axis=0) < references // 2


def simulate(
    seed: int,
    *,
    gap: float = 1.5,
    gap_spread: float = 0.0,
    references: int = 16,
    records: int = 200,
    population: int = 300,
    population_seen: bool = False,
) -> Drawn:
    """Logits of variance 1 around a difficulty of each record; training on it adds the gap.

    Half the records are members of the attacked model, nobody of the population is. The references were
    trained on halves of the population, too, if it was `population_seen`.
    """
    draw = np.random.default_rng(seed)
    members = np.arange(records) < records // 2

    def group(count: int, inside: Mask, trained: Mask) -> Group:
        level = draw.normal(1, 4, count)
        gaps = gap * np.exp(gap_spread * draw.normal(size=count) - gap_spread**2 / 2)
        target = expit(level + gaps * inside + draw.normal(size=count))
        reference = expit(level + gaps * trained + draw.normal(size=trained.shape))
        return Group(target, reference, trained)

    nobody = np.zeros((references, population), dtype=bool)
    return Drawn(
        group(records, members, halves(draw, references, records)),
        group(population, nobody[0], halves(draw, references, population) if population_seen else nobody),
        members,
    )


def area(scores: Array, members: Mask) -> float:
    return auc_interval(scores[members], scores[~members]).estimate


def areas_of(drawn: Sequence[Drawn], attack: Rmia, **settings: float) -> list[float]:
    return [area(each.scores(attack, **settings), each.members) for each in drawn]


def slow_area(scores: Sequence[float], members: Mask) -> float:
    inside = [score for score, member in zip(scores, members, strict=True) if member]
    outside = [score for score, member in zip(scores, members, strict=True) if not member]
    return fmean((a > b) + (a == b) / 2 for a in inside for b in outside)


def assert_mean(areas: Sequence[float], expected: float, allowance: float = 0.0) -> None:
    """The mean over draws, within 4.5 of its own standard errors, which must be small enough to tell."""
    error = float(np.std(areas, ddof=1)) / math.sqrt(len(areas))
    assert 0 < error < 0.01
    assert abs(fmean(areas) - expected) < 4.5 * error + allowance


def assert_larger(first: Sequence[float], second: Sequence[float]) -> None:
    """Paired differences over draws have a mean of more than 4.5 of its standard errors."""
    differences = np.subtract(first, second)
    assert differences.mean() > 4.5 * differences.std(ddof=1) / math.sqrt(len(differences))


# The published formulas, pair by pair.


def slow_prior(group: Group, number: int, attack: Rmia, scale: float) -> float:
    """p(x) of one record: from what models trained on it give and what others give, where there are
    both, and from the others and the line p_in = a p_out + 1 − a where there are not."""
    sides: dict[bool, list[float]] = {True: [], False: []}
    for given_probability, trained in zip(group.reference[:, number], group.trained[:, number], strict=True):
        sides[bool(trained)].append(float(given_probability))
    outside = fmean(sides[False])
    inside = fmean(sides[True]) if attack is rmia.online and sides[True] else scale * outside + (1 - scale)
    return 0.5 * inside + 0.5 * outside


def slow_scores(drawn: Drawn, attack: Rmia, gamma: float = 2.0, scale: float = 0.3) -> list[float]:
    ratios = [
        [float(value) / slow_prior(group, number, attack, scale) for number, value in enumerate(group.target)]
        for group in (drawn.records, drawn.population)
    ]
    return [fmean(1.0 if x / z >= gamma else 0.0 for z in ratios[1]) for x in ratios[0]]


@BOTH
@pytest.mark.parametrize("gamma", [0.7, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("seen", [False, True])
def test_scores_and_area_are_those_of_the_published_formulas(
    attack: Rmia, gamma: float, scale: float, seen: bool
) -> None:
    drawn = simulate(0, records=30, references=6, population=40, population_seen=seen)
    found = drawn.scores(attack, gamma=gamma, scale=scale)
    expected = slow_scores(drawn, attack, gamma, scale)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert area(found, drawn.members) == pytest.approx(slow_area(expected, drawn.members), abs=1e-9)
    assert 0 < found.mean() < 1


@BOTH
def test_the_published_settings_are_the_default(attack: Rmia) -> None:
    drawn = simulate(1)
    np.testing.assert_array_equal(drawn.scores(attack), drawn.scores(attack, gamma=2.0, scale=0.3))


def scattered(seed: int, records: int, population: int, references: int) -> Drawn:
    """Each record in a number of references of its own, at least one on either side; non-members in none or
    some."""
    draw = np.random.default_rng(seed)
    order = np.arange(references)[:, None]

    def group(count: int, fewest: int) -> Group:
        trained = draw.permuted(order < draw.integers(fewest, references, count), axis=0)
        return Group(1 - draw.random(count), 1 - draw.random((references, count)), trained)

    return Drawn(group(records, 1), group(population, 0), np.zeros(records, dtype=bool))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(2, 5),
    st.floats(0.25, 4),
    st.floats(0, 1),
    st.sampled_from([rmia.online, rmia.offline]),
)
def test_any_small_set_scores_as_the_loop_does(
    seed: int, records: int, population: int, references: int, gamma: float, scale: float, attack: Rmia
) -> None:
    drawn = scattered(seed, records, population, references)
    found = drawn.scores(attack, gamma=gamma, scale=scale)
    np.testing.assert_allclose(found, slow_scores(drawn, attack, gamma, scale), rtol=1e-12)


def powers(least: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 4), min_size=least, max_size=8)


@given(powers(0), powers(1), st.sampled_from([Fraction(1, 2), Fraction(1), Fraction(3, 2), Fraction(2)]))
def test_pairs_that_meet_gamma_exactly_count(of_records: list[int], of_non_members: list[int], gamma: Fraction) -> None:
    """Ratios that are powers of two, many of them the same, against exact arithmetic."""

    def group(exponents: list[int]) -> Group:
        target = np.array([2.0**-each for each in exponents])
        return Group(target, np.ones((2, len(target))), np.repeat([[True], [False]], len(target), axis=1))

    drawn = Drawn(group(of_records), group(of_non_members), np.zeros(len(of_records), dtype=bool))
    expected = [
        Fraction(sum(Fraction(2) ** (z - x) >= gamma for z in of_non_members), len(of_non_members)) for x in of_records
    ]
    for attack in (rmia.online, rmia.offline):
        # 1 is what p_out = 1 gives on every line, so both attacks have the same p.
        np.testing.assert_array_equal(drawn.scores(attack, gamma=float(gamma)), [float(each) for each in expected])


def test_online_takes_the_line_only_for_non_members_that_no_reference_saw() -> None:
    unseen, seen = simulate(0), simulate(0, population_seen=True)
    assert not np.array_equal(unseen.scores(rmia.online, scale=0.1), unseen.scores(rmia.online, scale=0.9))
    np.testing.assert_array_equal(seen.scores(rmia.online, scale=0.1), seen.scores(rmia.online, scale=0.9))


def test_both_sides_weigh_the_same_however_many_references_each_has() -> None:
    """One reference in gives 0.8, three out give 0.2: p = 0.5, not the mean of all, 0.35."""
    trained = np.array([[True], [False], [False], [False]])
    reference = np.array([[0.8], [0.2], [0.2], [0.2]])
    non_member = Group(np.array([0.5]), np.full((4, 1), 0.5), trained)
    for value, expected in ((0.4999, 0.0), (0.5001, 1.0)):
        drawn = Drawn(Group(np.array([value]), reference, trained), non_member, np.array([True]))
        assert drawn.scores(rmia.online, gamma=1.0).tolist() == [expected]


# Known answers.


def known_ratios(seed: int, separation: float, population: int) -> Drawn:
    """Records whose p is known exactly and whose ratio is log-normal: larger by `separation` deviations
    for members, the same for others as for the population."""
    draw = np.random.default_rng(seed)
    members = np.arange(200) < 100

    def group(count: int, shift: Array) -> Group:
        prior = 10 ** draw.uniform(-12, -2, count)
        ratio = np.exp((draw.normal(size=count) + shift) / 2)
        # All references give p, on both sides; with a = 1 it is p offline, too.
        trained = np.repeat([[True], [False]], count, axis=1)
        return Group(prior * ratio, np.stack([prior, prior]), trained)

    return Drawn(group(200, np.where(members, separation, 0.0)), group(population, np.zeros(population)), members)


@BOTH
@pytest.mark.parametrize("separation", [0.5, 1.0, 2.0])
def test_with_known_p_the_area_is_that_of_the_ratio(attack: Rmia, separation: float) -> None:
    """Φ(d / √2), to within the ties: with γ = 1 and a population like the non-members, two records tie where
    none of the Z in it falls between them, with probability below 2 / (Z + 1), and lose one half then.
    The population threshold sees little of it behind the difficulty of the records."""
    size = 1000
    drawn = [known_ratios(seed, separation, size) for seed in range(60)]
    assert_mean(
        areas_of(drawn, attack, gamma=1.0, scale=1.0),
        float(stats.norm.cdf(separation / math.sqrt(2))),
        allowance=1 / (size + 1),
    )
    assert fmean(area(each.records.target, each.members) for each in drawn) < 0.6


@BOTH
@pytest.mark.parametrize("references", [2, 16])
def test_without_a_gap_the_area_is_one_half(attack: Rmia, references: int) -> None:
    drawn = [simulate(seed, gap=0.0, references=references) for seed in range(100)]
    assert_mean(areas_of(drawn, attack), 0.5)


def test_non_members_in_known_p_score_evenly() -> None:
    """Under γ = 1 a record like the population beats half of it on average: E = 1/2."""
    means = [float(known_ratios(seed, 0.0, 300).scores(rmia.online, gamma=1.0).mean()) for seed in range(60)]
    assert_mean(means, 0.5)


@BOTH
@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_both_beat_the_population_threshold(attack: Rmia, gamma: float) -> None:
    drawn = [simulate(seed) for seed in range(40)]
    thresholds = [area(each.records.target, each.members) for each in drawn]
    assert 0.5 < fmean(thresholds) < 0.62
    assert_larger(areas_of(drawn, attack, gamma=gamma), np.add(thresholds, 0.05).tolist())


@pytest.mark.parametrize("references", [4, 16, 64])
@pytest.mark.parametrize("gap_spread", [0.0, 1.0])
def test_online_is_stronger_than_offline(references: int, gap_spread: float) -> None:
    drawn = [simulate(seed, references=references, gap_spread=gap_spread) for seed in range(40)]
    assert_larger(areas_of(drawn, rmia.online), areas_of(drawn, rmia.offline))


def test_the_default_line_keeps_gamma_two_within_the_reach_of_members() -> None:
    """With non-members' p_out in place of p (a = 1) hardly anybody beats one twice over."""
    drawn = simulate(0, gap=3.0)
    members = drawn.scores(rmia.online)[drawn.members]
    assert members.mean() > drawn.scores(rmia.online, scale=1.0)[drawn.members].mean() + 0.1


# What must not matter, and what must.


def test_the_unit_of_a_record_does_not_matter_online() -> None:
    drawn = simulate(0, population_seen=True)
    unit = 2.0 ** -np.random.default_rng(1).integers(0, 20, 200)  # exact, or near ties could turn
    x = drawn.records
    changed = replace(drawn, records=Group(x.target * unit, x.reference * unit, x.trained))
    np.testing.assert_array_equal(changed.scores(rmia.online), drawn.scores(rmia.online))


@BOTH
def test_order_of_references_records_and_non_members_does_not_matter(attack: Rmia) -> None:
    drawn = simulate(0, population_seen=True)
    draw = np.random.default_rng(2)
    references, records, non_members = (draw.permutation(count) for count in (16, 200, 300))

    def taken(group: Group, order: npt.NDArray[np.int64]) -> Group:
        return Group(group.target[order], group.reference[references][:, order], group.trained[references][:, order])

    changed = Drawn(taken(drawn.records, records), taken(drawn.population, non_members), drawn.members[records])
    np.testing.assert_allclose(changed.scores(attack), drawn.scores(attack)[records], rtol=1e-12)


@BOTH
def test_larger_means_member(attack: Rmia) -> None:
    drawn = simulate(0)
    x, z = drawn.records, drawn.population
    before = drawn.scores(attack)
    surer = replace(drawn, records=replace(x, target=np.sqrt(x.target))).scores(attack)
    stronger = replace(drawn, population=replace(z, target=np.sqrt(z.target))).scores(attack)
    harder = replace(drawn, records=replace(x, reference=x.reference**2)).scores(attack)
    assert (surer >= before).all()
    assert surer.mean() > before.mean() + 0.01
    assert (stronger <= before).all()
    assert stronger.mean() < before.mean() - 0.01
    assert (harder >= before).all()
    assert harder.mean() > before.mean() + 0.01


@BOTH
@given(st.floats(0.1, 5), st.floats(0.1, 5))
def test_a_larger_gamma_asks_for_more(attack: Rmia, first: float, second: float) -> None:
    drawn = scattered(3, 20, 30, 4)
    low, high = sorted((first, second))
    assert (drawn.scores(attack, gamma=low) >= drawn.scores(attack, gamma=high)).all()


def test_offline_never_looks_at_references_that_were_trained_on_the_record() -> None:
    drawn = simulate(0, population_seen=True)
    spoiled = [
        replace(group, reference=np.where(group.trained, 1.0, group.reference))
        for group in (drawn.records, drawn.population)
    ]
    np.testing.assert_array_equal(
        Drawn(spoiled[0], spoiled[1], drawn.members).scores(rmia.offline), drawn.scores(rmia.offline)
    )


@BOTH
def test_scores_are_shares_of_the_non_members_and_so_they_tie(attack: Rmia) -> None:
    scores = simulate(0, population=7).scores(attack, gamma=1.0)
    np.testing.assert_allclose(scores * 7, np.round(scores * 7), atol=1e-12)
    assert len(np.unique(scores)) <= 8
    assert scores.min() >= 0
    assert scores.max() <= 1


@BOTH
def test_non_members_and_gamma_never_turn_two_records_round(attack: Rmia) -> None:
    drawn = simulate(0)
    ratios = [
        float(value) / slow_prior(drawn.records, number, attack, 0.3)
        for number, value in enumerate(drawn.records.target)
    ]
    for gamma in (0.5, 1.0, 2.0):
        assert (np.diff(drawn.scores(attack, gamma=gamma)[np.argsort(ratios)]) >= 0).all()


@BOTH
def test_no_record_gives_no_score(attack: Rmia) -> None:
    drawn = simulate(0)
    nobody = Group(np.empty(0), np.empty((16, 0)), np.empty((16, 0), dtype=bool))
    assert replace(drawn, records=nobody).scores(attack).shape == (0,)


# Errors.


@BOTH
@pytest.mark.parametrize("bad", [0.0, -0.1, 1.1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["target", "reference"])
@pytest.mark.parametrize("part", ["records", "population"])
def test_what_is_no_probability_is_an_error(attack: Rmia, bad: float, name: str, part: str) -> None:
    drawn = simulate(0, records=5, population=6, references=4)
    group = getattr(drawn, part)
    values = getattr(group, name).copy()
    values.flat[0] = bad
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        drawn.with_part(part, replace(group, **{name: values})).scores(attack)


def test_a_probability_that_rounding_put_above_one_is_none() -> None:
    drawn = simulate(0, records=5, population=6, references=4)
    above = replace(drawn, records=replace(drawn.records, target=np.full(5, 1 + 1e-7)))
    assert np.isfinite(above.scores(rmia.online)).all()


@BOTH
@pytest.mark.parametrize("part", ["records", "population"])
@pytest.mark.parametrize(
    ("target", "reference", "trained"),
    [
        ((5, 1), (4, 5), (4, 5)),
        ((5,), (4, 5, 1), (4, 5)),
        ((5,), (4, 6), (4, 6)),
        ((1,), (4, 5), (4, 5)),
        ((5,), (5,), (4, 5)),
        ((5,), (4, 5), (5, 4)),
        ((5,), (4, 5), (5,)),
        ((5,), (4, 5), (4, 1)),
    ],
)
def test_shapes_that_do_not_fit_are_an_error(
    attack: Rmia, part: str, target: tuple[int, ...], reference: tuple[int, ...], trained: tuple[int, ...]
) -> None:
    drawn = simulate(0, records=5, population=5, references=4)
    group = Group(np.full(target, 0.5), np.full(reference, 0.5), np.zeros(trained, dtype=bool))
    with pytest.raises(ValueError, match="are needed"):
        drawn.with_part(part, group).scores(attack)


@BOTH
def test_a_mask_of_numbers_is_an_error(attack: Rmia) -> None:
    drawn = simulate(0)
    numbers = replace(drawn.records, trained=drawn.records.trained.astype(np.int64))
    with pytest.raises(ValueError, match="booleans"):
        replace(drawn, records=numbers).scores(attack)


@BOTH
def test_a_population_of_other_references_or_of_nobody_is_an_error(attack: Rmia) -> None:
    drawn = simulate(0)
    for other in (simulate(0, references=4).population, simulate(0, population=0).population):
        with pytest.raises(ValueError, match="non-members of the same 16 references"):
            replace(drawn, population=other).scores(attack)


@BOTH
@pytest.mark.parametrize(
    "settings", [{"gamma": 0.0}, {"gamma": -1.0}, {"gamma": math.inf}, {"gamma": math.nan}, {"scale": -0.1}]
)
def test_settings_out_of_range_are_an_error(attack: Rmia, settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a finite gamma above 0 and a scale from 0 to 1"):
        simulate(0).scores(attack, **settings)


def test_every_record_needs_a_reference_outside_and_online_one_inside() -> None:
    drawn = simulate(0)
    x, z = drawn.records, drawn.population
    always, never = x.trained.copy(), x.trained.copy()
    always[:, 7], never[:, 7] = True, False
    seen = z.trained.copy()
    seen[:, 7] = True
    for attack in (rmia.online, rmia.offline):
        for broken in (
            replace(drawn, records=replace(x, trained=always)),
            replace(drawn, population=replace(z, trained=seen)),
        ):
            with pytest.raises(ValueError, match="needs a reference not trained on it"):
                broken.scores(attack)
    outside = replace(drawn, records=replace(x, trained=never))
    assert np.isfinite(outside.scores(rmia.offline)).all()
    with pytest.raises(ValueError, match="needs a reference trained on it; without, use `offline`"):
        outside.scores(rmia.online)


# The choice of a.


def tuned(drawn: Drawn, **settings: Any) -> float:
    x, z = drawn.records, drawn.population
    return rmia.tuned_scale(x.reference, x.trained, z.reference, z.trained, **settings)


def shrunk(drawn: Drawn, factor: float) -> Drawn:
    """The same records where probabilities are so much smaller, as those of a contrastive batch are."""

    def smaller(group: Group) -> Group:
        return replace(group, target=factor * group.target, reference=factor * group.reference)

    return replace(drawn, records=smaller(drawn.records), population=smaller(drawn.population))


def slow_tuned(drawn: Drawn, scales: Sequence[float]) -> float:
    """Every reference attacked by the others, one after the other."""
    means = []
    for scale in scales:
        areas = []
        for number in range(len(drawn.records.reference)):
            others = [other for other in range(len(drawn.records.reference)) if other != number]

            def seen_by(group: Group, number: int = number, others: list[int] = others) -> Group:
                return Group(group.reference[number], group.reference[others], group.trained[others])

            members = drawn.records.trained[number]
            attacked = Drawn(seen_by(drawn.records), seen_by(drawn.population), members)
            areas.append(slow_area(slow_scores(attacked, rmia.offline, 1.0, scale), members))
        means.append(fmean(areas))
    return scales[int(np.argmax(means))]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("factor", [1.0, 0.003])
def test_the_scale_is_that_by_which_references_are_told_apart_best(seed: int, factor: float) -> None:
    drawn = shrunk(simulate(seed, records=24, references=6, population=12), factor)
    scales = (0.0, 0.3, 0.9, 0.99, 1.0)
    assert tuned(drawn, gamma=1.0, scales=scales) == slow_tuned(drawn, scales)


def test_where_probabilities_are_small_the_tuned_attack_is_stronger_than_with_the_published_scale() -> None:
    drawn = [shrunk(simulate(seed, gap=1.0), 0.003) for seed in range(12)]
    found = [tuned(each, gamma=1.0) for each in drawn]
    assert min(found) > 0.9
    areas = [
        area(each.scores(rmia.offline, gamma=1.0, scale=a), each.members) for each, a in zip(drawn, found, strict=True)
    ]
    assert_larger(areas, areas_of(drawn, rmia.offline, gamma=1.0, scale=0.3))


def test_the_attacked_model_has_no_say_in_the_scale() -> None:
    drawn = simulate(5)
    other = replace(drawn, records=replace(drawn.records, target=drawn.records.target[::-1].copy()))
    assert tuned(drawn) == tuned(other)


def test_on_a_model_that_never_saw_the_records_the_tuned_attack_guesses() -> None:
    areas = []
    for seed in range(40):
        drawn = shrunk(simulate(seed, gap=0.0, records=80, population=80), 0.003)
        areas.append(area(drawn.scores(rmia.offline, gamma=1.0, scale=tuned(drawn, gamma=1.0)), drawn.members))
    error = float(np.std(areas, ddof=1)) / math.sqrt(len(areas))
    assert abs(fmean(areas) - 0.5) < 4.5 * error


def test_without_references_to_judge_the_first_scale_is_taken() -> None:
    drawn = simulate(6, records=10, references=4, population=10)
    nobody = replace(drawn, records=replace(drawn.records, trained=np.zeros_like(drawn.records.trained)))
    assert tuned(nobody, scales=(0.7, 0.3)) == 0.7
    with pytest.raises(ValueError, match="scales are needed to choose from"):
        tuned(drawn, scales=())
