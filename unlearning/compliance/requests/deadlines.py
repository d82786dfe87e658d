"""When a request must be honoured: one calendar month after receipt, extensible by two (GDPR Art. 12(3)).

A month ends on the day of the same number, or on the last day of a shorter month, at the same time of day
in UTC. Extensions are counted from the receipt too: received on 31 January, due on 28 February, with one
month more on 31 March.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import datetime, timedelta

MONTHS = 1
"""Calendar months that there are without an extension."""

MOST_EXTENSION = 2
"""Calendar months of all extensions of a request together."""


def add_months(moment: datetime, months: int) -> datetime:
    """The same day and time of day `months` calendar months later, at most that month's last day."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def due(received: datetime, extension: int = 0) -> datetime:
    """The end of the period, `extension` months of extensions included."""
    return add_months(received, MONTHS + extension)


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
