"""When a request must be honoured: one calendar month after receipt, extensible by two (GDPR Art. 12(3)).

A month ends with the day of the same number, or with the last day of a shorter month: at 23:59:59 in the office's
time zone. Extensions are counted from the receipt too: received on 31 January, due on 28 February, with one month
more on 31 March.

What was received before there was a zone is due at the same time of day in UTC, and stays so.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, StringConstraints

from unlearning.core.config import Config
from unlearning.core.errors import UserError

MONTHS = 1
"""Calendar months that there are without an extension."""

MOST_EXTENSION = 2
"""Calendar months of all extensions of a request together."""


ZONELESS = "UTC"
"""The zone that needs no table of zones."""

Offset = Annotated[int, Field(gt=-86400, lt=86400)]
"""Seconds that a zone's clocks are ahead of UTC."""


class OfficeDay(Config):
    """Whose days a period is counted in. The offsets are kept, so that no later table of zones moves a date."""

    zone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+/-]{0,63}$")]
    """IANA name, such as `Europe/Berlin`."""
    at_receipt: Offset
    """When the request arrived."""
    at_end: Offset
    """When the period ends."""


def zone_of(name: str) -> tzinfo:
    """The time zone of an IANA name.

    Raises:
        UserError: there is none, or this machine has no table of zones.
    """
    if name == ZONELESS:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        if not available_timezones():
            raise UserError(
                f"time zone {name!r} cannot be looked up, since this machine has no table of zones: "
                "install the package tzdata"
            ) from None
        raise UserError(
            f"time zone {name!r} is unknown: set UNLEARNING_TIME_ZONE to an IANA name such as Europe/Berlin"
        ) from None


def office_day(received: datetime, zone: str, extension: int = 0) -> OfficeDay:
    """How far a zone is from UTC when a request arrives and when its period ends.

    Args:
        received: with a time zone.
        zone: IANA name.
        extension: months.

    Raises:
        UserError: the zone is unknown, or the period leaves the calendar.
    """
    where = zone_of(zone)
    try:
        local = received.astimezone(where)
        # Where clocks show the last second twice, the second one counts; where they skip it, what comes before.
        end = _last_second(local, MONTHS + extension).replace(tzinfo=where, fold=1)
    except (ValueError, OverflowError):
        raise UserError(f"received {received.isoformat()} has no month after it in the calendar: check it") from None
    return OfficeDay(zone=zone, at_receipt=_seconds(local), at_end=_seconds(end))


def _seconds(moment: datetime) -> int:
    return round((moment.utcoffset() or timedelta()).total_seconds())


def _last_second(local: datetime, months: int) -> datetime:
    """The end of the day so many months later, without a zone."""
    return add_months(local.replace(tzinfo=None), months).replace(hour=23, minute=59, second=59, microsecond=0)


def add_months(moment: datetime, months: int) -> datetime:
    """The same day and time of day `months` calendar months later, at most that month's last day."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def due(received: datetime, extension: int = 0, day: OfficeDay | None = None) -> datetime:
    """The end of the period in UTC, `extension` months of extensions included.

    Args:
        received: in UTC.
        extension: months.
        day: see `office_day`; None for the same time of day in UTC, as it was before there was a zone.
    """
    if day is None:
        return add_months(received, MONTHS + extension)
    local = received.astimezone(timezone(timedelta(seconds=day.at_receipt)))
    return (_last_second(local, MONTHS + extension) - timedelta(seconds=day.at_end)).replace(tzinfo=UTC)


def overdue(due: datetime, now: datetime) -> bool:
    """Whether the period has ended."""
    return now > due


def due_within(due: datetime, now: datetime, days: float) -> bool:
    """Whether the period ends within so many days, or has ended."""
    return due <= now + timedelta(days=days)


@dataclass(frozen=True, slots=True)
class NextBatch:
    """When the next batch begins, and about how long one takes."""

    begins: datetime
    takes: timedelta

    @property
    def ends(self) -> datetime:
        return self.begins + self.takes


def misses(due: datetime, batch: NextBatch) -> bool:
    """Whether the next batch ends after the period."""
    return batch.ends > due


def warning(due: datetime, now: datetime, batch: NextBatch | None = None) -> str:
    """One line about a deadline that has passed or will be missed; empty if there is nothing to warn of."""
    if overdue(due, now):
        return "overdue"
    if batch is not None and misses(due, batch):
        return f"the next batch cannot meet the deadline: it ends about {clock(batch.ends)}"
    return ""


def clock(moment: datetime) -> str:
    """A time in UTC as people read it."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")
