from __future__ import annotations

import pytest

from unlearning.audit.policy import Policy
from unlearning.core.errors import UserError
from unlearning.steps.check import check


def test_a_policy_that_needs_nothing_else_is_let_through() -> None:
    check(Policy())


@pytest.mark.parametrize("kind", ["class", "cluster"])
def test_references_do_not_answer_for_a_group(kind: str) -> None:
    with pytest.raises(UserError, match=f"forget kind {kind} cannot be compared with references"):
        check(Policy(compare_with="references"), kind)
    check(Policy(compare_with="retrained"), kind)


@pytest.mark.parametrize("kind", ["random", "records"])
def test_references_answer_for_records(kind: str) -> None:
    check(Policy(compare_with="references"), kind)
