from __future__ import annotations

from typing import Any

import pytest

from unlearning.audit.escalation import ATTEMPTS, escalation_level
from unlearning.audit.policy import MAX_STRONGER, Policy
from unlearning.core.config import checked
from unlearning.core.errors import UserError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auc_margin", 0.5),
        ("auc_margin", 0),
        ("utility_margin", float("nan")),
        ("utility_margin", 1),
        ("stronger", MAX_STRONGER + 1),
        ("stronger", -1),
        ("on_failure", "accept"),
        ("on_inconclusive", "pass"),
        ("compare_with", "original"),
        ("unlearned_references", 7),
        ("unlearned_references", 6),
        ("unlearned_references", -8),
    ],
)
def test_a_parameter_without_a_meaning_is_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^{name} "):
        checked(Policy, {name: value})


def test_the_values_at_the_edges_have_a_meaning() -> None:
    edges = {"auc_margin": 0.49, "utility_margin": 0.99, "stronger": MAX_STRONGER}
    assert checked(Policy, edges).model_dump().items() >= edges.items()
    assert checked(Policy, {"stronger": 0}).stronger == 0


def test_settings_can_be_escalated_as_often_as_there_are_attempts_for_it() -> None:
    assert max(escalation_level(attempt) for attempt in ATTEMPTS) == MAX_STRONGER


def test_what_a_task_is_handed_as_text_is_the_same_policy() -> None:
    policy = Policy(
        auc_margin=0.2,
        stronger=2,
        on_failure="stop",
        on_inconclusive="accept",
        compare_with="references",
        unlearned_references=16,
    )
    assert checked(Policy, {name: str(value) for name, value in policy.model_dump().items()}) == policy
