"""Cron expressions: five fields become six, and a wrong field is named."""

from __future__ import annotations

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
    ],
)
def test_a_wrong_field_is_named(given: str, wrong: str) -> None:
    with pytest.raises(UserError, match="cron: ") as caught:
        six_fields(given)
    assert wrong in str(caught.value)
