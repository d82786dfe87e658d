from __future__ import annotations

import pytest

from unlearning.audit.policy import Policy
from unlearning.core.errors import UserError
from unlearning.steps.check import check


def test_a_policy_that_needs_nothing_else_is_let_through() -> None:
    check(Policy())


def test_a_method_is_qualified_by_references_so_they_are_to_be_compared_with() -> None:
    with pytest.raises(UserError, match="on_inconclusive qualified goes by references: give compare_with references"):
        check(Policy(on_inconclusive="qualified"))
    check(Policy(on_inconclusive="qualified", compare_with="references"))


@pytest.mark.parametrize("kind", ["class", "cluster"])
def test_references_do_not_answer_for_a_group(kind: str) -> None:
    with pytest.raises(UserError, match=f"forget kind {kind} cannot be compared with references"):
        check(Policy(compare_with="references"), kind)
    check(Policy(compare_with="retrained"), kind)


@pytest.mark.parametrize("kind", ["random", "records"])
def test_references_answer_for_records(kind: str) -> None:
    check(Policy(compare_with="references"), kind)
