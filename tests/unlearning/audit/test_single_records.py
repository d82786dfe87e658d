from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.simulated_models import KINDS, of_memory, pushed_down, simple_attacks, some_for_sure, world
from unlearning.audit.audit import expectation, gaps_of
from unlearning.audit.reference_baseline import attack_model
from unlearning.audit.results import Interval, RecordTest
from unlearning.audit.simultaneous import Placed
from unlearning.audit.single_records import RecordGap, between_references
from unlearning.audit.statistics import proportion_interval

EVERYTHING = Interval(estimate=0, low=-1, high=1)


def measures(seed: int, kept: Any) -> dict[str, RecordTest]:
    drawn = world(seed, forgotten=60, holdout=150, references=8)
    shown = drawn.shown(kept(drawn))
    scores = attack_model(shown, drawn.forgotten, seed, simple_attacks)
    gaps = gaps_of(shown, scores, drawn.forgotten, expectation(drawn.forgotten, seed, simple_attacks))
    return {gap.name: gap.tested(EVERYTHING, len(gaps)) for gap in gaps}


def estimates(kept: Any, worlds: int = 24) -> dict[str, Any]:
    found = [measures(seed, kept) for seed in range(worlds)]
    return {name: np.asarray([each[name].difference.estimate for each in found]) for name in found[0]}


def test_a_model_not_trained_on_the_records_differs_by_chance_alone() -> None:
    for name, values in estimates(KINDS["never trained"].kept, 40).items():
        assert abs(values.mean()) < 4 * values.std(ddof=1) / np.sqrt(len(values)), name


def test_every_measure_sees_what_it_is_for() -> None:
    sure = estimates(some_for_sure(0.2))
    for name in ("recognised lira_offline", "recognised lira_online", "recognised rmia", "familiar"):
        assert sure[name].mean() > 0.1, name
    assert estimates(pushed_down(1.5))["unfamiliar"].mean() > 0.2
    memory = estimates(of_memory(0.8, offset=False))["memory"]
    assert memory.mean() > 0.6


def test_the_numbers_shown_are_those_compared() -> None:
    for test in measures(0, some_for_sure(0.2)).values():
        estimate = test.shown - test.expected
        assert test.difference.estimate == pytest.approx(max(-1, min(1, estimate)), abs=1e-9)
        assert test.difference.low <= test.difference.estimate <= test.difference.high
        assert test.difference.level == 0.9


def gap_of(hits: int, count: int, expected: float = 0.0) -> RecordGap:
    values = np.where(np.arange(count) < hits, 1.0, 0.0) - expected
    return RecordGap("recognised", "rmia", hits / count, expected, Placed(values, np.zeros(2)))


@pytest.mark.parametrize("count", [5, 20, 100])
def test_where_nobody_is_recognised_so_few_records_still_say_little(count: int) -> None:
    test = gap_of(0, count, 0.01).tested(EVERYTHING, 10)
    assert test.difference.high == pytest.approx(proportion_interval(0, count, 0.9).high - 0.01)


def test_what_holds_for_all_together_is_as_wide_as_few_records_ask_of_that_many_tests() -> None:
    point = Interval(estimate=0.5, low=0.5, high=0.5)
    together = gap_of(10, 20).tested(point, 10).simultaneous
    exact = proportion_interval(10, 20, 0.995)
    assert together is not None
    assert (together.low, together.high) == pytest.approx((exact.low, exact.high))


def test_memory_is_no_share_and_keeps_its_own_interval() -> None:
    gap = RecordGap("memory", "", 0.3, 0.1, Placed(np.full(20, 0.2), np.zeros(2)))
    test = gap.tested(EVERYTHING, 10)
    assert (test.difference.low, test.difference.high) == pytest.approx((0.2, 0.2))
    assert test.simultaneous == EVERYTHING


def test_models_that_differ_by_more_than_their_records_widen_the_intervals() -> None:
    drawn = world(1, forgotten=100, holdout=200, references=8)
    references = drawn.forgotten.references
    alike = between_references(references)
    knows = references.trained[..., None]
    gap = references.member_losses.mean(axis=(0, 2), where=~knows) - references.member_losses.mean(
        axis=(0, 2), where=knows
    )
    # Each reference now leans its own way along what training teaches of the records.
    lean = np.linspace(-2.0, 2.0, 8)[:, None, None] * (gap - gap.mean())[:, None]
    leaning = references.member_losses * np.exp(lean)
    found = between_references(replace(references, member_losses=leaning))
    assert found["memory"] > 2 * alike["memory"] + 0.1
