"""`python -m benchmarks.ledger_tasks WHAT FOLDER`: one thing to do with a ledger, in a process of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.speed_resident import peak_above_now
from unlearning.compliance.requests.open_requests import Unusable, collect, standing
from unlearning.compliance.requests.overview import overview
from unlearning.core.config import Config
from unlearning.storage.keys import LEDGER
from unlearning.storage.local import LocalStore

NOW = datetime(2024, 6, 10, 12, tzinfo=UTC)


class Found(Config):
    """What one repeat of a task took."""

    found: int
    seconds: float
    mebibytes: float


def _collect(folder: Path) -> int:
    return len(collect(LocalStore(folder), mend=False).states)


def _list(folder: Path) -> int:
    found = standing(LocalStore(folder), closed=False)
    return len([overview(each, NOW) for each in found if not isinstance(each, Unusable)])


def _iterate(folder: Path) -> int:
    return sum(1 for _ in LocalStore(folder).iterate(LEDGER))


def _keys(folder: Path) -> int:
    return len(LocalStore(folder).list(LEDGER))


TASKS: dict[str, Callable[[Path], int]] = {
    "collect open requests": _collect,
    "list open requests": _list,
    "keys of all events, one by one": _iterate,
    "keys of all events, as a list": _keys,
}


def measure(what: str, folder: Path) -> Found:
    """Do it, once."""
    found: list[int] = []
    begun = time.perf_counter()
    _, above = peak_above_now(lambda: found.append(TASKS[what](folder)))
    return Found(found=found[0], seconds=time.perf_counter() - begun, mebibytes=above)


if __name__ == "__main__":
    print(measure(sys.argv[1], Path(sys.argv[2])).model_dump_json())
