from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unlearning.audit.individual_memory import individual_memory
from unlearning.audit.references.training import halves


def drawn(seed: int, share: float, *, records: int = 60, count: int = 12, offset: float = 0.0) -> Any:
    """A model that keeps a share of what training taught of each record, beside references."""
    draw = np.random.default_rng(seed)
    level, taught = draw.normal(size=records), draw.exponential(1.2, records)
    trained = halves(records, count, seed)
    reference = level + taught * trained + draw.normal(0, 0.5, (count, records))
    return level + share * taught + offset + draw.normal(0, 0.5, records), reference, trained


def slow(target: Any, reference: Any, trained: Any) -> tuple[float, float]:
    """Slopes by a regression over all pairs of a reference in the model's place and a record."""
    products, expected, squares = 0.0, 0.0, 0.0
    for number in range(len(trained)):
        rows = [row for row in range(len(target)) if not trained[number, row]]
        gaps, ours, theirs = [], [], []
        for row in rows:
            others = [k for k in range(len(trained)) if k != number]
            inside = np.mean([reference[k, row] for k in others if trained[k, row]])
            outside = np.mean([reference[k, row] for k in others if not trained[k, row]])
            gaps.append(inside - outside)
            ours.append(target[row] - outside)
            theirs.append(reference[number, row] - outside)
        gap = np.asarray(gaps) - np.mean(gaps)
        products += gap @ (np.asarray(ours) - np.mean(ours))
        expected += gap @ (np.asarray(theirs) - np.mean(theirs))
        squares += gap @ gap
    return products / squares, expected / squares


def test_the_slopes_are_those_of_a_slow_regression() -> None:
    given = drawn(1, 0.4)
    found = individual_memory(*given)
    assert (found.shown, found.expected) == pytest.approx(slow(*given))
    assert found.pseudo_values.mean() == pytest.approx(found.shown - found.expected)


def test_the_error_is_that_of_leaving_out_one_record_after_the_other() -> None:
    """All but the centring, which a single record hardly moves."""
    target, reference, trained = drawn(2, 0.4, records=40)
    found = individual_memory(target, reference, trained)
    kept = [np.arange(40) != record for record in range(40)]
    left = [
        each.shown - each.expected
        for each in (individual_memory(target[rows], reference[:, rows], trained[:, rows]) for rows in kept)
    ]
    jackknife = np.sqrt(39 * np.var(left))
    assert found.pseudo_values.std(ddof=1) / np.sqrt(40) == pytest.approx(jackknife, rel=0.1)


def differences(share: float, offset: float = 0.0) -> Any:
    found = [individual_memory(*drawn(seed, share, offset=offset)) for seed in range(40)]
    return np.asarray([each.shown - each.expected for each in found])


def test_a_model_not_trained_on_the_records_remembers_as_little_as_its_references() -> None:
    values = differences(0.0)
    assert abs(values.mean()) < 4 * values.std(ddof=1) / np.sqrt(len(values))


def test_what_is_kept_of_each_record_is_seen_whatever_is_taken_off_all_of_them() -> None:
    """The gap is measured with noise, so that less than the true share is seen."""
    for offset in (0.0, -3.0):
        assert 0.6 < differences(0.8, offset).mean() < 0.8
        assert 0.3 < differences(0.4, offset).mean() < 0.4
        assert differences(-0.4, offset).mean() < -0.3


def test_an_offset_changes_nothing() -> None:
    target, reference, trained = drawn(3, 0.5)
    first, second = individual_memory(target, reference, trained), individual_memory(target - 2, reference, trained)
    assert (first.shown, first.expected) == pytest.approx((second.shown, second.expected))
    assert np.allclose(first.pseudo_values, second.pseudo_values)


def test_the_interval_covers_the_truth() -> None:
    """Over 300 models that were never trained on the records: 95 % wanted, 3 standard errors are 3.8 points."""
    covered = 0
    for seed in range(300):
        values = individual_memory(*drawn(seed, 0.0)).pseudo_values
        covered += abs(values.mean()) < 2.0 * values.std(ddof=1) / np.sqrt(len(values))
    assert covered / 300 > 0.912


def test_records_that_training_taught_nothing_tell_nothing() -> None:
    trained = halves(5, 8, 0)
    found = individual_memory(np.arange(5.0), np.zeros((8, 5)), trained)
    assert (found.shown, found.expected) == (0, 0)
    assert not found.pseudo_values.any()


def test_a_model_like_its_own_references_has_their_slope() -> None:
    _, reference, trained = drawn(4, 0.0)
    everybody = reference.mean(axis=0, where=~trained)
    found = individual_memory(everybody, reference, trained)
    assert found.shown == pytest.approx(found.expected, abs=0.05)
