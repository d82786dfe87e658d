from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import combine_pvalues, kstest, norm

from unlearning.audit.record_p_values import p_values, per_record, tails_in_place
from unlearning.audit.references.training import halves


def test_p_values_are_uniform_for_a_model_not_trained_on_the_records() -> None:
    draw = np.random.default_rng(0)
    records, count = 20_000, 8
    level = draw.normal(size=records) * 3
    reference = level + draw.normal(size=(count, records))
    values = p_values(level + draw.normal(size=records), reference, halves(records, count, 0))
    assert kstest(values, "uniform").pvalue > 0.001


def test_with_many_references_it_is_the_normal_tail() -> None:
    draw = np.random.default_rng(1)
    reference = draw.normal(2.0, 0.5, size=(4000, 5))
    trained = np.zeros((4000, 5), dtype=bool)
    target = np.array([1.0, 1.5, 2.0, 2.5, 3.0])
    assert p_values(target, reference, trained) == pytest.approx(norm.sf((target - 2) / 0.5), abs=0.02)


def test_references_that_saw_the_record_are_not_asked() -> None:
    draw = np.random.default_rng(2)
    trained = halves(30, 8, 0)
    reference, target = draw.normal(size=(8, 30)), draw.normal(size=30)
    changed = np.where(trained, 1e6, reference)
    assert np.array_equal(p_values(target, reference, trained), p_values(target, changed, trained))


def test_too_few_references_are_refused() -> None:
    trained = np.array([[True, False], [True, False], [False, False]])
    with pytest.raises(ValueError, match="1 records have fewer than 2"):
        p_values(np.zeros(2), np.zeros((3, 2)), trained)


@pytest.mark.parametrize(("shift", "towards"), [(2.0, True), (-2.0, False)])
def test_known_and_over_forgotten_records_are_found(shift: float, towards: bool) -> None:
    draw = np.random.default_rng(3)
    reference = draw.normal(size=(16, 400))
    target = draw.normal(size=400) + np.where(np.arange(400) < 200, shift, 0)
    values = p_values(target, reference, halves(400, 16, 0))
    found = per_record(values[:200], values[200:])
    assert found.pooled < 1e-6
    assert found.towards_members == towards
    share = found.suspicious if towards else found.unfamiliar
    assert share.low > 0.05


def test_what_all_records_share_is_no_alarm() -> None:
    """A model that is a little surer of everything: products of p-values cry wolf, ours do not."""
    runs, ours, fishers = 300, 0, 0
    for seed in range(runs):
        draw = np.random.default_rng(seed)
        reference = draw.normal(size=(8, 160)) + draw.normal(scale=0.3, size=(8, 1))
        values = p_values(draw.normal(size=160) + draw.normal(scale=0.3), reference, halves(160, 8, seed))
        ours += per_record(values[:80], values[80:]).pooled < 0.05
        fishers += combine_pvalues(values[:80]).pvalue < 0.05
    assert ours / runs < 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    assert fishers / runs > 0.15


def test_the_tails_are_counted_with_each_reference_in_the_models_place() -> None:
    draw = np.random.default_rng(3)
    trained = halves(40, 8, 3)
    reference, target = draw.normal(size=(8, 40)), draw.normal(size=40) + np.where(np.arange(40) < 10, 4.0, 0.0)
    better, worse = tails_in_place(target, reference, trained)
    for record in range(40):
        counted: list[list[bool]] = [[], [], [], []]
        for number in np.flatnonzero(~trained[:, record]):
            others = np.arange(8) != number
            judges = (reference[others][:, [record]], trained[others][:, [record]])
            for place, values in enumerate((target, reference[number])):
                p = float(p_values(values[[record]], *judges)[0])
                counted[place].append(p < 0.05)
                counted[place + 2].append(p > 0.95)
        shares = [np.mean(each) for each in counted]
        assert [better.ours[record], better.theirs[record]] == pytest.approx(shares[:2])
        assert [worse.ours[record], worse.theirs[record]] == pytest.approx(shares[2:])
    assert better.ours[:10].mean() > 0.5 > better.theirs.mean()


def test_references_of_one_kind_differ_by_their_records_alone() -> None:
    draw = np.random.default_rng(4)
    trained = halves(4000, 8, 4)
    alike = draw.normal(size=(8, 4000))
    better, _ = tails_in_place(alike[0], alike, trained)
    assert better.between < 0.01
    surer = alike + np.linspace(-1, 1, 8)[:, None]
    assert tails_in_place(surer[0], surer, trained)[0].between > 0.02
