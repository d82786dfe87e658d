"""Times of recurring runs: Kubeflow's cron has six fields, seconds first; people write five."""

from __future__ import annotations

import re

from unlearning.core.errors import UserError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of the week", 0, 6, DAYS),
)
"""Name, least, greatest and names of each field."""
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of each month, in years that have most."""
PART = re.compile(r"(?:[*?]|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def _value(text: str, field: tuple[str, int, int, tuple[str, ...]]) -> int:
    name, least, greatest, names = field
    if text.lower() in names:
        return names.index(text.lower()) + least
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= greatest:
        raise UserError(f"cron: {name} {text!r} is not between {least} and {greatest}")
    return int(text)


def _values(text: str, field: tuple[str, int, int, tuple[str, ...]]) -> set[int]:
    """All that it stands for."""
    _, least, greatest, _ = field
    meant: set[int] = set()
    for part in text.split(","):
        found = PART.fullmatch(part)
        if found is None:
            raise UserError(f"cron: {field[0]} {text!r} is not a value, a-b, */n or a list of these")
        first, last, step = found.groups()
        if step is not None and int(step) == 0:
            raise UserError(f"cron: {field[0]} {text!r} has a step of 0")
        values = [_value(each, field) for each in (first, last) if each is not None]
        if values != sorted(values):
            raise UserError(f"cron: {field[0]} {text!r} ends before it begins")
        begin = values[0] if values else least
        end = values[-1] if last is not None or (values and step is None) else greatest
        meant |= set(range(begin, end + 1, int(step or 1)))
    return meant


def _check_days(days: set[int], months: set[int], weekdays: str) -> None:
    """Where the day of the week is given too, either of both is enough for Kubeflow."""
    longest = max(LONGEST[month - 1] for month in months)
    if min(days) > longest and weekdays in ("*", "?"):
        raise UserError(f"cron: no such month has a day {min(days)}: the schedule would never run")


def six_fields(text: str) -> str:
    """A cron expression as Kubeflow wants it; five fields run at second 0.

    Raises:
        UserError: a field is wrong, and the message names it; or no year has such a day.
    """
    fields = text.split()
    if len(fields) == len(FIELDS) - 1:
        fields = ["0", *fields]
    if len(fields) != len(FIELDS):
        raise UserError(f"cron: {text!r} has {len(fields)} fields; 5 are wanted, or 6 with seconds first")
    meant = [_values(value, field) for value, field in zip(fields, FIELDS, strict=True)]
    _check_days(meant[3], meant[4], fields[5])
    return " ".join(fields)
