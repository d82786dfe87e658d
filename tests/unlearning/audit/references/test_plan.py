from __future__ import annotations

import pytest

from unlearning.audit.references.plan import (
    MOST,
    check_count,
    check_unlearned,
    check_unlearned_in,
    refuse_without_references,
    shards,
)
from unlearning.core.errors import UserError


@pytest.mark.parametrize("count", [0, 8, 16, MOST])
def test_counts_that_an_audit_can_use(count: int) -> None:
    check_count(count)


@pytest.mark.parametrize("count", [-2, 1, 2, 6, 9, MOST + 2])
def test_others_are_refused(count: int) -> None:
    with pytest.raises(UserError, match=f"references {count}: give 0 for none"):
        check_count(count)


@pytest.mark.parametrize(
    ("count", "parts", "sizes"),
    [(0, 4, [0]), (8, 1, [8]), (16, 4, [4, 4, 4, 4]), (8, 20, [1] * 8), (10, 4, [3, 3, 2, 2])],
)
def test_shards_cover_every_reference_once(count: int, parts: int, sizes: list[int]) -> None:
    found = shards(count, parts)
    assert [len(part) for part in found] == sizes
    assert sorted(number for part in found for number in part) == list(range(count))
    with pytest.raises(UserError, match="reference_tasks 0"):
        shards(count, 0)


def test_what_to_do_without_references_depends_on_whether_any_can_be_made() -> None:
    with pytest.raises(UserError, match=r"^model m version 1 has no references .* make them with"):
        refuse_without_references("model m version 1", unlearned=False)
    with pytest.raises(UserError, match=r"^model m version 2 has forgotten before, .* give compare_with retrained$"):
        refuse_without_references("model m version 2", unlearned=True)


def test_no_more_references_are_unlearned_than_there_are() -> None:
    check_unlearned(0, 0)
    check_unlearned(8, 8)
    with pytest.raises(UserError, match=r"^unlearned_references 10: the original has 8 references: .* or 0"):
        check_unlearned(10, 8)


def test_an_audit_without_what_was_asked_for_is_refused_unless_there_was_nothing_to_unlearn() -> None:
    for asked, done in ((0, 0), (0, 8), (8, 8), (8, 16)):
        check_unlearned_in(asked, done, retrained=False, diverged=False)
    check_unlearned_in(8, 0, retrained=True, diverged=False)
    check_unlearned_in(8, 0, retrained=False, diverged=True)
    with pytest.raises(
        UserError, match=r"^unlearned_references 8: in the audit 0 references were unlearned: audit again"
    ):
        check_unlearned_in(8, 0, retrained=False, diverged=False)
