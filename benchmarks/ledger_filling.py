"""A store with many requests, made through the ledger itself but without waiting for the disk."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from unlearning.compliance import deadlines, events
from unlearning.compliance.ledger import Ledger
from unlearning.store import LocalStore

EVENTS = 7
"""Of a closed request, from `received` to `certified`."""


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
        for details in _story(number, now) if closed else ():
            state = ledger.append(state, details, by="benchmark", now=now)


def _story(number: int, now: datetime) -> tuple[events.Details, ...]:
    digest, until = f"{number:064x}", now + timedelta(hours=8)
    return (
        events.Resolved(records=3, snapshots=(digest,), models=("model",)),
        events.Claimed(model="model", batch="batch", until=until),
        events.Unlearned(model="model", batch="batch", digest=digest, method="gradient_penalty"),
        events.Audited(model="model", batch="batch", outcome="passed", action="promote"),
        events.Fulfilled(model="model", batch="batch", version="2", digest=digest, how="unlearned"),
        events.Certified(certificate=digest),
    )
