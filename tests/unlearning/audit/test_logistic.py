from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unlearning.audit.logistic import fit

Array = npt.NDArray[np.float64]


def groups(
    seed: int, members: int = 40, non_members: int = 90, signals: int = 4, apart: float = 0.7
) -> tuple[Array, Array]:
    """Correlated signals of different units, a shift between the groups."""
    draw = np.random.default_rng(seed)
    mixing, units = draw.normal(size=(signals, signals)), 10.0 ** draw.integers(-3, 4, signals)
    first, second = (draw.normal(size=(count, signals)) @ mixing for count in (members, non_members))
    return (first + apart) * units + 5, second * units + 5


def by_sklearn(members: Array, non_members: Array) -> Any:
    regression = LogisticRegression(class_weight="balanced", tol=1e-12, max_iter=10_000)
    truth = np.repeat([1, 0], [len(members), len(non_members)])
    return make_pipeline(StandardScaler(), regression).fit(np.concatenate([members, non_members]), truth)


@pytest.mark.parametrize("apart", [0.0, 0.7, 20.0])
@pytest.mark.parametrize(("members", "non_members"), [(40, 90), (90, 40), (1, 5), (3, 1), (400, 20)])
def test_scores_are_those_of_sklearn(members: int, non_members: int, apart: float) -> None:
    """Also where the groups are far apart, and whole steps would go too far."""
    for seed in range(4):
        some, others = groups(seed, members, non_members, apart=apart)
        scored = groups(seed + 100)[0]
        expected = by_sklearn(some, others).decision_function(scored)
        np.testing.assert_allclose(fit(some, others).scores(scored), expected, rtol=1e-5, atol=1e-5)


def test_it_ends_at_the_minimum() -> None:
    """Nelder and Mead, who know no gradient, find nothing better from where it ends."""
    members, non_members = groups(0, signals=2)
    both = np.concatenate([members, non_members])
    mean, scale = both.mean(axis=0), both.std(axis=0)
    signs = np.repeat([1.0, -1.0], [len(members), len(non_members)])
    weights = len(both) / 2 / np.repeat([len(members), len(non_members)], [len(members), len(non_members)])

    def loss(at: Array) -> float:
        scores = (both - mean) / scale @ at[:2] + at[2]
        return float((at[:2] ** 2).sum() / 2 + weights @ np.log1p(np.exp(-signs * scores)))

    found = fit(members, non_members)
    start = np.append(found.weights * scale, found.offset + found.weights @ mean)
    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5_000})
    assert loss(start) <= best.fun + 1e-9
    np.testing.assert_allclose(start, best.x, atol=1e-4)


@given(seed=st.integers(0, 2**32), factor=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_units_do_not_matter(seed: int, factor: float, shift: float) -> None:
    members, non_members = np.random.default_rng(seed).normal(size=(2, 15, 3)) + np.array([[[0.5]], [[0.0]]])
    scored = np.random.default_rng(seed + 1).normal(size=(7, 3))
    changed = fit(factor * members + shift, factor * non_members + shift).scores(factor * scored + shift)
    np.testing.assert_allclose(changed, fit(members, non_members).scores(scored), rtol=1e-6, atol=1e-6)


def test_the_groups_swapped_give_the_opposite() -> None:
    members, non_members = groups(3)
    scored = groups(4)[0]
    np.testing.assert_allclose(
        fit(non_members, members).scores(scored), -fit(members, non_members).scores(scored), atol=1e-8
    )


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, 1e12])
def test_a_signal_that_does_not_vary_counts_nothing(value: float) -> None:
    members, non_members = groups(5)
    still = [np.column_stack([each, np.full(len(each), value)]) for each in (members, non_members)]
    found, without = fit(*still), fit(members, non_members)
    assert abs(found.weights[-1] * value) < 1e-9
    np.testing.assert_allclose(found.scores(still[0]), without.scores(members), rtol=1e-9)


def test_groups_that_one_signal_tells_apart_altogether_have_finite_scores() -> None:
    members, non_members = np.full((50, 1), 1.0), np.full((60, 1), -1.0)
    scores = fit(members, non_members).scores(np.array([[1.0], [-1.0]]))
    assert np.isfinite(scores).all()
    assert scores[0] > 3 > -3 > scores[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_signals_that_are_not_finite_are_refused(bad: float) -> None:
    members, non_members = groups(6)
    members[3, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        fit(members, non_members)
