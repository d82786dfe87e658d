from __future__ import annotations

import numpy as np
import pytest

from unlearning.audit.qualification.plan import as_text, count_of, draw, from_text, shares, sizes_of
from unlearning.core.errors import UserError


def test_no_member_is_in_two_sets_and_every_member_is_drawn_as_often() -> None:
    counts = np.zeros(20)
    for seed in range(2_000):
        rows = draw(20, 3, 4, seed)
        assert rows.shape == (4, 3)
        assert len(np.unique(rows)) == 12
        counts[rows] += 1
    # Each is in 12 of 20 draws: binomial, 5 standard deviations.
    assert np.abs(counts - 1_200).max() < 5 * np.sqrt(2_000 * 0.6 * 0.4)


def test_the_draw_follows_from_the_seed_and_the_size_and_a_set_from_its_number() -> None:
    assert np.array_equal(draw(50, 3, 8, 1), draw(50, 3, 8, 1))
    assert np.array_equal(draw(50, 3, 8, 1)[:5], draw(50, 3, 5, 1))
    assert not np.array_equal(draw(50, 3, 8, 1), draw(50, 3, 8, 2))
    assert not np.array_equal(draw(50, 3, 8, 1).ravel(), draw(50, 4, 6, 1).ravel())


def test_sizes_are_read_in_order_and_once() -> None:
    assert sizes_of("10, 1,3,3") == (1, 3, 10)


@pytest.mark.parametrize("text", ["", ",", "0", "-1", "1.5", "three", "1001", "1;3"])
def test_sizes_without_a_meaning_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="give numbers of records from 1 to 1000"):
        sizes_of(text)


def test_there_are_as_many_sets_as_are_wanted_or_as_the_members_make() -> None:
    assert count_of(3, 100, 10_000) == 100
    assert count_of(30, 100, 300) == 10


@pytest.mark.parametrize(
    ("size", "wanted", "members", "problem"),
    [(30, 100, 239, "8 sets at least are needed, which 239 members do not make"), (1, 7, 999, "give 8 or more")],
)
def test_too_few_sets_are_refused(size: int, wanted: int, members: int, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        count_of(size, wanted, members)


@pytest.mark.parametrize("tasks", [1, 3, 4, 100])
def test_shares_hold_every_set_once_and_are_told_in_a_line(tasks: int) -> None:
    found = [from_text(as_text(share)) for share in shares("1,20", 12, 200, tasks)]
    every = sorted((size, number) for share in found for size, numbers in share.items() for number in numbers)
    assert every == [(1, number) for number in range(12)] + [(20, number) for number in range(10)]
    assert len(found) == min(tasks, 22)
    amounts = [sum(map(len, share.values())) for share in found]
    assert max(amounts) - min(amounts) <= 1


def test_no_tasks_are_refused() -> None:
    with pytest.raises(UserError, match="qualification_tasks 0: give 1 or more"):
        shares("1", 8, 100, 0)
