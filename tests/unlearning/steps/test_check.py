from __future__ import annotations

from typing import Any

import pytest

from unlearning.core.errors import UserError
from unlearning.steps.check import check

FINE: dict[str, Any] = {
    "auc_margin": 0.1,
    "utility_margin": 0.03,
    "stronger": 1,
    "on_failure": "retrain",
    "on_inconclusive": "accept",
}


def test_parameters_with_a_meaning_are_let_through() -> None:
    check(**FINE)


@pytest.mark.parametrize("kind", ["class", "cluster"])
def test_references_do_not_answer_for_a_group(kind: str) -> None:
    with pytest.raises(UserError, match=f"forget kind {kind} cannot be compared with references"):
        check(**FINE, compare_with="references", forget_kind=kind)
    check(**FINE, compare_with="retrained", forget_kind=kind)


@pytest.mark.parametrize("kind", ["random", "records"])
def test_references_answer_for_records(kind: str) -> None:
    check(**FINE, compare_with="references", forget_kind=kind)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auc_margin", 0.5),
        ("utility_margin", float("nan")),
        ("stronger", 3),
        ("on_failure", "accept"),
        ("on_inconclusive", "pass"),
        ("compare_with", "original"),
    ],
)
def test_a_parameter_without_a_meaning_is_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=name):
        check(**FINE | {name: value})
