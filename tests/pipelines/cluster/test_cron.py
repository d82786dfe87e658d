"""Cron expressions: five fields become six, and a wrong field is named."""

from __future__ import annotations

from datetime import date

import pytest

from pipelines.cluster.cron import six_fields
from unlearning.core.errors import UserError


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("*/15 8-18 1,15 jan-jun MON-FRI", "0 */15 8-18 1,15 jan-jun MON-FRI"),
        ("30 0 3 * * ?", "30 0 3 * * ?"),
        ("5-59/10 * * * 0", "0 5-59/10 * * * 0"),
        ("0 3 29 2 *", "0 0 3 29 2 *"),
        ("0 3 31 2 mon", "0 0 3 31 2 mon"),
        ("0 3 31 4/3 *", "0 0 3 31 4/3 *"),
        ("0 3 28/3 2 *", "0 0 3 28/3 2 *"),
    ],
)
def test_a_valid_expression_has_six_fields(given: str, wanted: str) -> None:
    assert six_fields(given) == wanted


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ("", "0 fields"),
        ("@daily", "1 fields"),
        ("60 3 * * *", "minute '60' is not between 0 and 59"),
        ("0 24 * * *", "hour '24'"),
        ("0 3 0 * *", "day of the month '0'"),
        ("0 3 * 13 *", "month '13'"),
        ("0 3 * * 7", "day of the week '7'"),
        ("0 3 * * someday", "day of the week 'someday'"),
        ("*/0 3 * * *", "step of 0"),
        ("0 9-5 * * *", "ends before it begins"),
        ("0 3, * * *", "is not a value"),
        ("60 0 3 * * *", "second '60'"),
        ("0 3 31 2 *", "no such month has a day 31"),
        ("0 3 30-31 feb *", "no such month has a day 30"),
        ("0 3 31 2,4,6,9,11 ?", "no such month has a day 31: the schedule would never run"),
    ],
)
def test_a_wrong_field_is_named(given: str, wrong: str) -> None:
    with pytest.raises(UserError, match="cron: ") as caught:
        six_fields(given)
    assert wrong in str(caught.value)


@pytest.mark.parametrize("month", range(1, 13))
@pytest.mark.parametrize("day", range(1, 32))
def test_a_day_that_some_year_has_is_taken_and_no_other(day: int, month: int) -> None:
    """By the calendar of a leap year."""
    try:
        date(2024, month, day)
    except ValueError:
        with pytest.raises(UserError, match="would never run"):
            six_fields(f"0 3 {day} {month} *")
    else:
        assert six_fields(f"0 3 {day} {month} *")
