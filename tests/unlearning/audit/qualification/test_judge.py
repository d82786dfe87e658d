from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unlearning.audit.policy import Margins
from unlearning.audit.qualification.judge import ForgottenSet, judge
from unlearning.audit.qualification_results import Qualification

WIDE = Margins(auc_margin=0.45, utility_margin=0.5, record_margin=0.9, memory_margin=0.99)


def judged(world: Any, share: float = 0.0, margins: Margins = WIDE, **changed: Any) -> Qualification:
    draw = np.random.default_rng(0)
    sets = [ForgottenSet(shown, {"knn": (draw.random(400) < share).astype(np.float64)}, 2.0) for shown in world.shown]
    sets[0] = replace(sets[0], **changed)
    return judge(sets, world.pool, method="finetune", settings={"epochs": 1}, seed=0, margins=margins)


@pytest.fixture
def world(simulated: Callable[..., Any]) -> Any:
    return simulated(sets=12, size=3, left=0.0, seed=4)


def test_what_forgets_within_the_margins_is_qualified(world: Any) -> None:
    found = judged(world)
    assert found.outcome == "qualified", found.reasons
    assert (found.size, found.sets, found.records, found.references, found.holdout) == (3, 12, 36, 8, 50)
    assert found.original == world.pool.references.manifest.original
    assert found.seconds == 2.0
    assert all(each.difference.low >= -0.45 and each.difference.high <= 0.45 for each in found.comparisons)


def test_what_leaks_is_not(simulated: Callable[..., Any]) -> None:
    found = judged(simulated(sets=12, size=3, left=1.0, seed=4), margins=Margins(auc_margin=0.1, utility_margin=0.5))
    assert found.outcome == "not_qualified"
    assert found.reasons[0].startswith("leaks: ")


def test_what_over_forgets_is_not(simulated: Callable[..., Any]) -> None:
    found = judged(simulated(sets=12, size=3, left=-1.0, seed=4), margins=Margins(auc_margin=0.1, utility_margin=0.5))
    assert found.outcome == "not_qualified"
    assert found.reasons[0].startswith("over_forgotten: ")


def test_too_few_sets_cannot_tell(world: Any) -> None:
    assert judged(world, margins=Margins(auc_margin=0.01, utility_margin=0.5)).outcome == "inconclusive"


@pytest.mark.parametrize(("lost", "outcome"), [(0.05, "not_qualified"), (0.028, "inconclusive"), (0.0, "qualified")])
def test_lost_accuracy_counts(world: Any, lost: float, outcome: str) -> None:
    found = judged(world, lost, Margins(auc_margin=0.45, utility_margin=0.03, record_margin=0.9, memory_margin=0.99))
    assert found.outcome == outcome, found.reasons
    assert found.worst_utility_lost["knn"] >= found.utility_lost["knn"].estimate


def test_a_set_of_which_the_method_made_no_model_is_enough(world: Any) -> None:
    found = judged(world, shown=None, lost={}, diverged="the loss became nan")
    assert (found.outcome, found.diverged, found.comparisons) == ("not_qualified", 1, ())
    assert found.reasons == ("the method made no model of 1 of 12 sets: the loss became nan",)
