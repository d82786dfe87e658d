from __future__ import annotations

import math

import pytest

from benchmarks.means import Mean, mean


def test_the_interval_is_students() -> None:
    """Of 1, 2, 3 the standard error is 1/√3; t for 95 % and 2 degrees of freedom is 4.303."""
    found = mean([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert mean([4.0]).half == math.inf
    assert mean([4.0]).text() == "4.000"


@pytest.mark.parametrize(
    ("value", "half", "said"),
    [(0.0, 0.01, "yes"), (0.0, 0.05, "yes, but its interval reaches beyond"), (0.03, 0.02, "no"), (-0.03, 0.2, "no")],
)
def test_a_bound_is_held_by_the_mean_and_by_the_whole_interval(value: float, half: float, said: str) -> None:
    assert Mean(value, half).within(-0.02, 0.02) == said


def test_a_bound_on_one_side_does_not_mind_how_far_the_other_side_reaches() -> None:
    assert Mean(0.01, 0.02).within(-math.inf, 0.05) == "yes"
    assert Mean(0.01, math.inf).within(-math.inf, 0.05) == "yes, but its interval reaches beyond"
