"""`python -m benchmarks.ledger`: what open requests cost beside very many closed ones, on a local store.

The largest size is 10,000 open requests beside 1,000,000 events of closed ones: 2 million small files, which take
minutes to make and to delete again, about 10 GB, and as many inodes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.ledger_filling import EVENTS, clear, fill_in_parts
from benchmarks.ledger_page import render
from benchmarks.ledger_tasks import NOW, TASKS, Found
from benchmarks.rows import machine
from unlearning.compliance.ledger.store import Ledger
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.core.files import write_json, write_text
from unlearning.storage.concurrency import side_by_side
from unlearning.storage.local import LocalStore
from unlearning.storage.store import Keys


class Size(Config):
    """How much there is."""

    open_requests: int
    closed_events: int


SIZES = tuple(
    Size(open_requests=pending, closed_events=closed)
    for pending, closed in ((100, 10_000), (1_000, 100_000), (10_000, 100_000), (10_000, 1_000_000))
)
QUICK = (Size(open_requests=5, closed_events=28), Size(open_requests=20, closed_events=140))
LATE_SECONDS = 0.01
LATE_REQUESTS = 1000
"""At most, so that asking one at a time takes no longer than a minute."""


class LedgerRow(Config):
    """What one task took."""

    open_requests: int
    closed_events: int
    what: str
    found: int
    seconds: float
    """Median of the repeats."""
    slowest: float
    mebibytes: float
    """At the highest above what the process had before, most of the repeats."""


class Late(LocalStore):
    """Every answer comes late, as those of S3 do."""

    def read(self, key: str) -> bytes:
        time.sleep(LATE_SECONDS)
        return super().read(key)

    def list(self, prefix: str) -> Keys:
        time.sleep(LATE_SECONDS)
        return super().list(prefix)


def _alone(what: str, folder: Path) -> Found:
    """A task in a process of its own."""
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [sys.executable, "-m", "benchmarks.ledger_tasks", what, str(folder)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        check=True,
    )
    return Found.model_validate_json(done.stdout)


def _measured(size: Size, folder: Path, repeats: int) -> list[LedgerRow]:
    rows = []
    for what in TASKS:
        runs = [_alone(what, folder) for _ in range(repeats)]
        seconds = [run.seconds for run in runs]
        rows.append(
            LedgerRow(
                **size.model_dump(),
                what=what,
                found=runs[0].found,
                seconds=float(np.median(seconds)),
                slowest=max(seconds),
                mebibytes=max(run.mebibytes for run in runs),
            )
        )
        typer.echo(f"{size.open_requests} open, {size.closed_events} closed events: {what}: {rows[-1].seconds:.2f} s")
    return rows


def late(folder: Path) -> dict[str, float]:
    """Seconds for all open requests on a store whose answers come late, one at a time and side by side."""
    ledger = Ledger(Late(folder))
    ids = ledger.open_requests()
    found = {"answer_after_seconds": LATE_SECONDS, "requests": len(ids)}
    for name, ask in (("one_at_a_time", map), ("side_by_side", side_by_side)):
        begun = time.perf_counter()
        assert len(list(ask(ledger.state, ids))) == len(ids)
        found[name] = time.perf_counter() - begun
    return found


def run(sizes: Sequence[Size], folder: Path, repeats: int, jobs: int) -> dict[str, Any]:
    """All measurements; `folder` is filled more and more."""
    commit = settings.from_environment().commit
    rows: list[LedgerRow] = []
    filled = Size(open_requests=0, closed_events=0)
    late_answers: dict[str, float] = {}
    for size in sizes:
        begun = time.perf_counter()
        pending = range(filled.open_requests, size.open_requests)
        fill_in_parts(folder, pending, closed=False, now=NOW, jobs=jobs)
        closed = range(filled.closed_events // EVENTS, size.closed_events // EVENTS)
        fill_in_parts(folder, closed, closed=True, now=NOW, jobs=jobs)
        typer.echo(f"filled in {timedelta(seconds=round(time.perf_counter() - begun))}")
        filled = size
        rows += _measured(size, folder, repeats)
        if size.open_requests <= LATE_REQUESTS:
            late_answers = late(folder)
    return {
        "commit": commit,
        "machine": machine(),
        "repeats": repeats,
        "events_of_a_closed_request": EVENTS,
        "late": late_answers,
        "rows": [row.model_dump(mode="json") for row in rows],
    }


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A few requests only, to see that it works.")] = False,
    repeats: Annotated[int, typer.Option(help="Of every measurement; medians are kept.")] = 3,
    folder: Annotated[Path | None, typer.Option(help="Where the files are made, and deleted afterwards.")] = None,
    jobs: Annotated[int, typer.Option(help="Processes that make the files and delete them.")] = 4,
    note: Annotated[str, typer.Option(help="What else is to be known, such as other work of the machine.")] = "",
    output: Annotated[Path, typer.Option(help="JSON; the page is written beside it.")] = Path(
        "benchmarks/results/ledger.json"
    ),
) -> None:
    """Time and memory of collecting and listing open requests at four sizes, on this machine."""
    place = Path(tempfile.mkdtemp(prefix="ledger-", dir=folder))
    try:
        found = run(QUICK if quick else SIZES, place, repeats, jobs)
    finally:
        clear(place, jobs)
    found["note"] = note
    write_json(output, found)
    write_text(output.with_suffix(".md"), render(found))


if __name__ == "__main__":
    typer.run(main)
