from __future__ import annotations

import pytest

from unlearning.audit.references.plan import MOST, check_count, refuse_without_references, shards
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
