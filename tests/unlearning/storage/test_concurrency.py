from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from unlearning.storage.concurrency import AT_ONCE, PART, side_by_side


@pytest.mark.parametrize("count", [0, 1, PART - 1, PART, PART + 1, 3 * PART])
def test_every_answer_comes_once_and_in_order(count: int) -> None:
    assert list(side_by_side(lambda item: item * item, range(count))) == [item * item for item in range(count)]


def test_many_are_asked_at_once() -> None:
    everybody = threading.Barrier(AT_ONCE, timeout=30)
    assert len(list(side_by_side(lambda _: everybody.wait(), range(AT_ONCE)))) == AT_ONCE


def test_no_more_than_a_part_is_taken_beforehand() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(10 * PART):
            taken += 1
            yield item

    answers = side_by_side(lambda item: item, items())
    assert next(answers) == 0
    assert taken == PART


def test_a_failure_is_told() -> None:
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda item: 1 // item, range(3)))
