"""Progress of long work: a bar on a terminal, about ten lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

Advance = Callable[[str], None]
"""Call it once per unit of work, with a short note such as the current loss."""

LOG_LINES = 10

MANY = 100
"""Units of quick work, from which on people want to see it go by."""

_SUPPRESSED: ContextVar[bool] = ContextVar("suppressed", default=False)


@contextmanager
def suppress_progress() -> Iterator[None]:
    """Parts of a larger work, perhaps several at once, show nothing of their own."""
    token = _SUPPRESSED.set(True)
    try:
        yield
    finally:
        _SUPPRESSED.reset(token)


@contextmanager
def track(what: str, total: int, *, least: int = 0) -> Iterator[Advance]:
    """Show `total` units of work going by; drawn to standard error.

    Args:
        least: of fewer units nothing is shown.
    """
    if _SUPPRESSED.get() or total < least:
        yield lambda note: None
        return
    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(console, what, total) as advance:
            yield advance
    else:
        yield _log(what, total)


@contextmanager
def _bar(console: Console, what: str, total: int) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, note="", rate="")
        begun = time.monotonic()

        def advance(note: str) -> None:
            done = bar.tasks[task].completed + 1
            bar.update(task, advance=1, note=note, rate=_rate(done, time.monotonic() - begun))

        yield advance


def _rate(done: float, seconds: float) -> str:
    """Units a second, or seconds a unit where that is the larger number."""
    if seconds <= 0 or done <= 0:
        return ""
    return f"{done / seconds:.1f}/s" if done >= seconds else f"{seconds / done:.1f} s each"


def _log(what: str, total: int) -> Advance:
    begun = time.monotonic()
    done = 0

    def advance(note: str) -> None:
        nonlocal done
        done += 1
        if done == total or done * LOG_LINES // total > (done - 1) * LOG_LINES // total:
            elapsed = time.monotonic() - begun
            left = elapsed / done * (total - done)
            times = ", ".join(filter(None, [f"{elapsed:.0f} s", _rate(done, elapsed), f"{left:.0f} s left"]))
            print(f"{what}: {done}/{total}  {times}  {note}", file=sys.stderr, flush=True)

    return advance
