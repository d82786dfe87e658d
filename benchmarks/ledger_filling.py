"""A store with many requests, made through the ledger itself but without waiting for the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from unlearning.compliance.ledger import events
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests import deadlines
from unlearning.storage.local import LocalStore

EVENTS = 7
"""Of a closed request, from `received` to `certified`."""

PART = 500
Part = TypeVar("Part")


class Quick(LocalStore):
    """Writes where a crash may leave half a file, which nobody minds here."""

    def create(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as handle:
                handle.write(data)
        except FileExistsError:
            return False
        return True


def fill(folder: Path, numbers: Iterable[int], *, closed: bool, now: datetime) -> None:
    """Add requests that were just received, or such as were certified and whose content was deleted since."""
    ledger = Ledger(Quick(folder))
    for number in numbers:
        received = now - timedelta(minutes=number % 40_000)
        first = events.Received(digest=f"{number:064x}", received=received, due=deadlines.due(received))
        state = ledger.begin(f"{'closed' if closed else 'open'}-{number}", first, by="benchmark", now=now)
        for details in _events_of(number, now) if closed else ():
            state = ledger.append(state, details, by="benchmark", now=now)


def fill_in_parts(folder: Path, numbers: range, *, closed: bool, now: datetime, jobs: int) -> None:
    """The same in many processes: most of the time goes by waiting for the file system."""
    parts = [numbers[start : start + PART] for start in range(0, len(numbers), PART)]
    _each(partial(fill, folder, closed=closed, now=now), parts, jobs)


def clear(folder: Path, jobs: int) -> None:
    """Delete everything in a folder, and the folder."""
    below = [path for top in folder.iterdir() if top.is_dir() for path in top.iterdir() if path.is_dir()]
    _each(_delete, [below[start : start + PART] for start in range(0, len(below), PART)], jobs)
    shutil.rmtree(folder)


def _delete(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder)


def _each(work: Callable[[Part], None], parts: Sequence[Part], jobs: int) -> None:
    if jobs == 1:
        for part in parts:
            work(part)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for _ in pool.map(work, parts):
            pass


def _events_of(number: int, now: datetime) -> tuple[events.Details, ...]:
    digest, until = f"{number:064x}", now + timedelta(hours=8)
    return (
        events.Resolved(records=3, snapshots=(digest,), models=("model",)),
        events.Claimed(model="model", batch="batch", until=until),
        events.Unlearned(model="model", batch="batch", digest=digest, method="gradient_matching"),
        events.Audited(model="model", batch="batch", outcome="passed", action="promote"),
        events.Fulfilled(model="model", batch="batch", version="2", digest=digest, how="unlearned"),
        events.Certified(certificate=digest),
    )
