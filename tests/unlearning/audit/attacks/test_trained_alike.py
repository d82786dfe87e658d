from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from unlearning.audit.attacks.trained_alike import as_trained_alike
from unlearning.audit.references.training import halves

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
COUNT, RECORDS, HOLDOUT, QUERIES = 12, 80, 120, 2


class Models(NamedTuple):
    """Normal scores of a model and of references; hard records (low levels) are those that training changes most."""

    target: Array
    target_holdout: Array
    reference: Array
    reference_holdout: Array
    trained: Mask
    left_out: Mask

    def gap(self) -> Array:
        """(F,) what training teaches of each record."""
        among = self.trained[..., None]
        return np.asarray(
            (self.reference.mean(axis=0, where=among) - self.reference.mean(axis=0, where=~among)).mean(axis=1)
        )

    def slope(self, target: Array) -> float:
        """Of how far the model is from references not trained on a record, on that gap."""
        outside = self.reference.mean(axis=0, where=~self.trained[..., None])
        gap, distance = self.gap(), (target - outside).mean(axis=1)
        return float(np.cov(gap, distance)[0, 1] / gap.var(ddof=1))


def models(seed: int, *, order: float = 1.0, remembered: float = 0.0, noise: float = 0.3) -> Models:
    """References, and a model that orders records by `order` × their level and remembers that share of the gap."""
    draw = np.random.default_rng(seed)
    level = draw.normal(size=RECORDS + HOLDOUT)
    trained, left_out = halves(RECORDS, COUNT, seed), halves(HOLDOUT, COUNT, seed + 1)
    taught = 0.8 - 0.5 * level[:RECORDS] + draw.normal(scale=0.3, size=RECORDS)

    def shown(of_level: float, known: Array, spread: float) -> Array:
        learned = np.append(taught * known, np.zeros(HOLDOUT))
        own = of_level * level + learned + draw.normal(scale=spread, size=len(level))
        return np.asarray(own[:, None] + draw.normal(scale=0.1, size=(len(level), QUERIES)))

    reference = np.stack([shown(1.0, mask.astype(float), 0.3) for mask in trained])
    target = shown(order, np.full(RECORDS, remembered), noise)
    parts = (target[:RECORDS], target[RECORDS:], reference[:, :RECORDS], reference[:, RECORDS:])
    return Models(*parts, trained, left_out)


def slow(found: Models) -> list[list[float]]:
    """Record by record and reference by reference, by the normal equations."""

    def mean_and_spread(values: Array, among: list[int]) -> tuple[list[float], float]:
        means = [float(np.mean([values[k][q] for k in among])) for q in range(QUERIES)]
        spreads = [float(np.std([values[k][q] for k in among], ddof=1)) for q in range(QUERIES)]
        return means, float(np.mean(spreads))

    def fit(values: Array, others: list[int], asked: list[list[int]]) -> tuple[Array, float]:
        rows, distances = [], []
        for record in range(HOLDOUT):
            among = [k for k in asked[record] if k in others]
            means, spread = mean_and_spread(found.reference_holdout[:, record], among)
            for query in range(QUERIES):
                rows.append([1.0, means[query], spread])
                distances.append(values[record][query] - means[query])
        terms, wanted = np.asarray(rows), np.asarray(distances)
        coefficients = np.linalg.solve(terms.T @ terms, terms.T @ wanted)
        return coefficients, float(np.std(wanted - terms @ coefficients))

    everybody = list(range(COUNT))
    asked = [[k for k in everybody if not found.left_out[k, record]] for record in range(HOLDOUT)]
    ours, spread = fit(found.target_holdout, everybody, asked)
    usual = []
    for number in everybody:
        others = [k for k in everybody if k != number]
        sides = [[k for k in everybody if (k in group) == (number in group)] for group in asked]
        usual.append(fit(found.reference_holdout[number], others, sides))
    theirs, usual_spread = np.mean([each[0] for each in usual], axis=0), np.mean([each[1] for each in usual])
    made = []
    for record in range(RECORDS):
        among = [k for k in everybody if not found.trained[k, record]]
        means, own = mean_and_spread(found.reference[:, record], among)
        row = []
        for query, mean in enumerate(means):
            terms = np.asarray([1.0, mean, own])
            rest = found.target[record][query] - mean - terms @ ours
            row.append(float(mean + terms @ theirs + rest * usual_spread / spread))
        made.append(row)
    return made


@pytest.mark.parametrize("seed", range(2))
def test_it_is_what_the_formula_says(seed: int) -> None:
    found = models(seed, order=0.6, remembered=0.3, noise=0.5)
    np.testing.assert_allclose(as_trained_alike(*found), slow(found), rtol=1e-8, atol=1e-8)


def statistics_of(**options: float) -> tuple[Array, Array]:
    """Slopes on the gap over seeds, before and after."""
    worlds = [models(seed, **options) for seed in range(40)]
    return (
        np.asarray([each.slope(each.target) for each in worlds]),
        np.asarray([each.slope(as_trained_alike(*each)) for each in worlds]),
    )


def test_a_model_that_orders_all_records_otherwise_remembers_nothing() -> None:
    """One that was trained too little, say: it looks like memory, since training teaches most of hard records."""
    alike = statistics_of()[0].mean()
    before, after = statistics_of(order=0.4)
    assert before.mean() - alike > 0.3
    assert abs(after.mean() - alike) < 0.1
    assert abs(after.mean() - alike) < abs(before.mean() - alike) / 3


@pytest.mark.parametrize("remembered", [0.3, 1.0])
def test_what_is_remembered_stays(remembered: float) -> None:
    alike = statistics_of()[1].mean()
    slopes = statistics_of(remembered=remembered)[1] - alike
    assert slopes.mean() > 0.9 * remembered
    noisy = statistics_of(remembered=remembered, order=0.4, noise=0.6)[1] - alike
    assert noisy.mean() > 0.3 * remembered


def test_a_model_that_was_trained_like_the_references_is_left_as_it_is_on_average() -> None:
    moved = np.asarray([(as_trained_alike(*each) - each.target).mean() for each in map(models, range(40))])
    assert abs(moved.mean()) < 4 * moved.std(ddof=1) / np.sqrt(len(moved))
    sizes = [np.square(as_trained_alike(*each) - each.target).mean() for each in map(models, range(40))]
    assert np.mean(sizes) < 0.02


def test_nothing_is_divided_by_a_model_that_is_a_function_of_the_references() -> None:
    found = models(0)
    mean = found.reference_holdout.mean(axis=0, where=~found.left_out[..., None])
    assert np.isfinite(as_trained_alike(found.target, 0.5 * mean, *found[2:])).all()


def test_where_all_references_are_asked_about_the_holdout_there_is_an_answer_too() -> None:
    found = models(0)
    everybody = np.zeros_like(found.left_out)
    assert np.isfinite(as_trained_alike(*found[:5], everybody)).all()
