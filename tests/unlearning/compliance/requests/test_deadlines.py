from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearning.compliance.requests import deadlines
from unlearning.compliance.requests.deadlines import (
    NextBatch,
    add_months,
    due,
    misses,
    office_day,
    overdue,
    warning,
    zone_of,
)
from unlearning.core.errors import UserError

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


ZONES = sorted(available_timezones() - {"localtime", "posixrules"})


def last_of_the_day(received: datetime, zone: ZoneInfo, months: int) -> datetime:
    """Second by second and hour by hour in UTC: the last one whose local date is not after the period's last day."""
    local = received.astimezone(zone)
    last_day = later_by_looking(datetime(local.year, local.month, local.day), months).date()
    low = datetime(last_day.year, last_day.month, last_day.day, tzinfo=UTC) - timedelta(days=2)
    seconds = (low + timedelta(seconds=number) for number in range(4 * 86400, 0, -900))
    start = next(each for each in seconds if each.astimezone(zone).date() <= last_day)
    return next(
        each
        for each in (start + timedelta(seconds=number) for number in range(900, -1, -1))
        if each.astimezone(zone).date() <= last_day
    )


@settings(max_examples=150)
@given(st.sampled_from(ZONES), MOMENTS, st.integers(0, 2))
def test_a_period_ends_with_the_last_second_of_the_offices_own_day(zone: str, received: datetime, months: int) -> None:
    day = office_day(received, zone, months)
    assert due(received, months, day) == last_of_the_day(received, ZoneInfo(zone), 1 + months)


@given(st.sampled_from(ZONES), MOMENTS, st.integers(0, 2))
def test_a_period_never_leaves_the_offices_month(zone: str, received: datetime, months: int) -> None:
    """Against the earlier rule, told on the office's clock: the same day, and never an earlier time of it."""
    where = ZoneInfo(zone)
    wall = received.astimezone(where).replace(tzinfo=None)
    before = add_months(wall, 1 + months)
    end = due(received, months, office_day(received, zone, months)).astimezone(where).replace(tzinfo=None)
    assert end.date() <= before.date()
    if end.date() < before.date():  # a day that the zone left out, by crossing the date line
        assert (end + timedelta(seconds=1)).date() == before.date()
    else:
        assert end >= before.replace(microsecond=0)


@given(MOMENTS, st.integers(0, 2))
def test_in_utc_nobody_has_less_time_than_before(received: datetime, months: int) -> None:
    end = due(received, months, office_day(received, "UTC", months))
    assert (end.date(), end.time()) == (due(received, months).date(), datetime(1, 1, 1, 23, 59, 59).time())


@pytest.mark.parametrize(
    ("zone", "received", "extension", "expected"),
    [
        ("Europe/Berlin", "2024-05-31T23:30:00+00:00", 0, "2024-07-01T21:59:59+00:00"),
        ("Europe/Berlin", "2024-02-29T09:00:00+00:00", 0, "2024-03-29T22:59:59+00:00"),
        ("Europe/Berlin", "2024-02-29T09:00:00+00:00", 1, "2024-04-29T21:59:59+00:00"),
        ("Europe/Berlin", "2023-01-31T22:59:59+00:00", 0, "2023-02-28T22:59:59+00:00"),
        ("Europe/Berlin", "2023-01-31T23:00:00+00:00", 0, "2023-03-01T22:59:59+00:00"),
        ("America/New_York", "2024-03-01T02:00:00+00:00", 0, "2024-03-30T03:59:59+00:00"),
        ("America/Havana", "2024-10-03T12:00:00+00:00", 0, "2024-11-04T04:59:59+00:00"),
        ("America/Asuncion", "2023-09-01T12:00:00+00:00", 0, "2023-10-02T02:59:59+00:00"),
        ("Pacific/Apia", "2011-11-30T20:00:00+00:00", 0, "2011-12-30T09:59:59+00:00"),
        ("Pacific/Kiritimati", "2024-01-31T10:00:00+00:00", 0, "2024-03-01T09:59:59+00:00"),
    ],
)
def test_ends_in_zones(zone: str, received: str, extension: int, expected: str) -> None:
    moment = datetime.fromisoformat(received)
    assert due(moment, extension, office_day(moment, zone, extension)) == datetime.fromisoformat(expected)


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "Europe", "../UTC", "/etc/passwd", "", "a\0b"])
def test_a_zone_that_there_is_not(zone: str) -> None:
    with pytest.raises(UserError, match=r"is unknown: set UNLEARNING_TIME_ZONE to an IANA name such as Europe/Berlin$"):
        zone_of(zone)


def test_a_machine_without_a_table_of_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> object:
        raise KeyError

    monkeypatch.setattr(deadlines, "ZoneInfo", nothing)
    monkeypatch.setattr(deadlines, "available_timezones", set)
    assert zone_of("UTC") is UTC
    with pytest.raises(UserError, match="no table of zones: install the package tzdata"):
        zone_of("Europe/Berlin")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_a_period_that_leaves_the_calendar(zone: str) -> None:
    with pytest.raises(UserError, match="has no month after it in the calendar: check it"):
        office_day(datetime(9999, 12, 20, tzinfo=UTC), zone)
