"""A lease lock on a store: one holder at a time, and a crashed holder's lease runs out.

A lock is a series of generations, `key/1`, `key/2` …, each made by a conditional create and never
changed. The highest one counts: it says who holds the lock until when, or that it is free. Taking
the lock, taking over an expired lease and releasing are all the same act, creating the next
generation, which exactly one contender can do. So:

- Two contenders for an expired lease try to create the same object: one wins, the other reads it.
- A holder who was taken over finds its release refused, since its next generation exists already.
- Old generations are deleted by later holders, the highest one never is. A contender who slept so
  long that the number it wants was used and deleted meanwhile creates it in vain: having created,
  it lists again, sees a higher generation and knows that it lost.

A lease bounds how long a crash blocks others; it cannot stop a holder that outlives its lease. Ask
for more seconds than the work takes plus the clocks' difference, and call `Lease.check` right
before the act that must not happen twice.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from unlearning.core.config import Config
from unlearning.core.errors import HeldLockError, MissingKeyError, UserError
from unlearning.storage.store import Store

LOOK = 2.0
"""Seconds between two looks at a lock that somebody else holds."""
ATTEMPTS = 10
"""Each failed attempt means that another contender got further, so running out of them is rare."""


class Generation(Config):
    """The content of one lock object."""

    owner: str
    expires: float
    """Seconds since 1970; 0 says that the lock was released."""
    token: str
    """Random, so that no two contenders ever write the same bytes."""


@dataclass(frozen=True)
class Lease:
    """The right to act alone until `expires`."""

    store: Store
    key: str
    number: int
    owner: str
    expires: float
    now: Callable[[], float]

    def check(self) -> None:
        """Make sure that the lease still holds.

        Raises:
            UserError: it expired, or somebody took it over.
        """
        if self.now() >= self.expires or _highest(self.store, self.key) != self.number:
            raise UserError(
                f"lock {self.key!r}: the lease of {self.owner} ran out at {_clock(self.expires)} before the work was "
                "done: ask for a longer lease and run again"
            )


@contextmanager
def lock(
    store: Store,
    key: str,
    owner: str,
    *,
    seconds: float,
    patience: float = 0.0,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Lease]:
    """Hold the lock `key` as `owner` for the block, for at most `seconds`.

    Args:
        patience: seconds to wait for whoever holds it. One that died holds it to the end of its lease: whatever is
            tried again after a death must be as patient as a lease is long.

    Raises:
        UserError: somebody else holds it; the message says who and until when.
    """
    assert seconds > 0
    lease = _waited(store, key, owner, seconds, patience, now, sleep)
    try:
        yield lease
    finally:
        # A store that cannot be reached now must not hide how the block ended; the lease runs out by itself.
        with suppress(UserError):
            _create(store, key, lease.number + 1, owner, expires=0.0)


def _waited(
    store: Store,
    key: str,
    owner: str,
    seconds: float,
    patience: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> Lease:
    latest, told = now() + patience, False
    while True:
        try:
            return _take(store, key, owner, seconds, now)
        except HeldLockError as error:
            if now() >= latest:
                raise
            if not told:
                print(f"{error}; waiting", file=sys.stderr, flush=True)
            told = True
            sleep(LOOK)


def _take(store: Store, key: str, owner: str, seconds: float, now: Callable[[], float]) -> Lease:
    for _ in range(ATTEMPTS):
        latest = _highest(store, key)
        if latest:
            try:
                holder = _read(store, key, latest)
            except MissingKeyError:
                continue  # deleted since, so there are newer ones
            if holder.expires > now():
                raise HeldLockError(
                    f"lock {key!r} is held by {holder.owner} until {_clock(holder.expires)}: wait until it is done"
                )
        number, expires = latest + 1, now() + seconds
        if _create(store, key, number, owner, expires) and _highest(store, key) == number:
            _delete_before(store, key, latest)
            return Lease(store, key, number, owner, expires, now)
    raise UserError(f"lock {key!r} is wanted by too many at once: try again later")


def _create(store: Store, key: str, number: int, owner: str, expires: float) -> bool:
    content = Generation(owner=owner, expires=expires, token=uuid.uuid4().hex)
    return store.create(_name(key, number), content.model_dump_json().encode())


def _read(store: Store, key: str, number: int) -> Generation:
    try:
        return Generation.model_validate(json.loads(store.read(_name(key, number))))
    except (ValidationError, ValueError):
        raise UserError(f"lock object {_name(key, number)!r} is damaged: delete everything under {key!r}") from None


def _highest(store: Store, key: str) -> int:
    return max(_numbers(store, key), default=0)


def _delete_before(store: Store, key: str, latest: int) -> None:
    """Tidy up, keeping the generation before one's own too.

    A listing need not be one instant: one that misses a generation just made should still find its
    predecessor instead of nothing at all.
    """
    with suppress(UserError):
        for number in _numbers(store, key):
            if number < latest:
                store.delete(_name(key, number))


def _numbers(store: Store, key: str) -> list[int]:
    names = (name.removeprefix(f"{key}/") for name in store.list(key))
    return [int(name) for name in names if name.isdecimal()]


def _name(key: str, number: int) -> str:
    return f"{key}/{number}"


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
