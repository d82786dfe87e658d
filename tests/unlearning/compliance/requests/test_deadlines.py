from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearning.compliance.requests import deadlines
from unlearning.compliance.requests.deadlines import NextBatch, add_months, due, misses, overdue, warning

MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


def later_by_looking(moment: datetime, months: int) -> datetime:
    """Day by day: over so many ends of months, then on to the day of the same number, as far as there is one."""
    day, passed = moment, 0
    while passed < months:
        day += timedelta(days=1)
        passed += day.day == 1
    while day.day < moment.day and (day + timedelta(days=1)).month == day.month:
        day += timedelta(days=1)
    return day


@given(MOMENTS, st.integers(0, 14))
def test_months_are_those_of_the_calendar(moment: datetime, months: int) -> None:
    assert add_months(moment, months) == later_by_looking(moment, months)


@pytest.mark.parametrize(
    ("received", "extension", "expected"),
    [
        ("2024-01-31T23:59:59+00:00", 0, "2024-02-29T23:59:59+00:00"),
        ("2023-01-31T08:00:00+00:00", 0, "2023-02-28T08:00:00+00:00"),
        ("2023-01-31T08:00:00+00:00", 1, "2023-03-31T08:00:00+00:00"),
        ("2023-01-31T08:00:00+00:00", 2, "2023-04-30T08:00:00+00:00"),
        ("2023-12-15T00:00:00+00:00", 0, "2024-01-15T00:00:00+00:00"),
        ("2023-11-30T00:00:00+00:00", 2, "2024-02-29T00:00:00+00:00"),
        ("2024-06-10T12:00:00+00:00", 0, "2024-07-10T12:00:00+00:00"),
    ],
)
def test_due_is_counted_from_the_receipt(received: str, extension: int, expected: str) -> None:
    assert due(datetime.fromisoformat(received), extension) == datetime.fromisoformat(expected)


@given(MOMENTS)
def test_extensions_only_ever_move_the_deadline_on(received: datetime) -> None:
    ends = [due(received, extension) for extension in range(deadlines.MOST_EXTENSION + 1)]
    assert received + timedelta(days=28) <= ends[0]
    assert ends == sorted(set(ends))


def test_overdue_begins_after_the_end() -> None:
    end = datetime(2024, 7, 10, 12, tzinfo=UTC)
    assert not overdue(end, end)
    assert overdue(end, end + timedelta(microseconds=1))
    assert deadlines.due_within(end, end - timedelta(days=3), 3)
    assert not deadlines.due_within(end, end - timedelta(days=3, seconds=1), 3)


def test_a_batch_that_ends_after_the_deadline_cannot_meet_it() -> None:
    end, day = datetime(2024, 7, 10, 12, tzinfo=UTC), timedelta(days=1)
    just, late = NextBatch(end - day, day), NextBatch(end - day, day + timedelta(seconds=1))
    assert (misses(end, just), misses(end, late)) == (False, True)
    assert warning(end, end - 2 * day, just) == ""
    assert warning(end, end - 2 * day) == ""
    expected = "the next batch cannot meet the deadline: it ends about 2024-07-10 12:00 UTC"
    assert warning(end, end - 2 * day, late) == expected
    assert warning(end, end + day, late) == "overdue"
