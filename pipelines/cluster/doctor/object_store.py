"""Whether the store does what ledger and locks rest on: an object is created once, read as written, and deleted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator

from pipelines.cluster.doctor.findings import Finding
from unlearning.core.errors import UserError
from unlearning.storage.open import open_store
from unlearning.storage.store import Store

FOLDER = "doctor"
"""Where the probe is written, below the store's root; it is gone afterwards."""


def object_store(uri: str) -> Iterator[Finding]:
    """Create, create again, read, delete.

    Raises:
        UserError: the store cannot be reached or refuses one of them; says which.
    """
    store, key = open_store(uri), f"{FOLDER}/{secrets.token_hex(8)}"
    begin = time.monotonic()
    try:
        problem = _problem(store, key)
    finally:
        _remove(store, key)
    if problem:
        yield Finding(check="store", state="failed", found=f"{uri}: {problem[0]}", do=problem[1])
        return
    took = 1000 * (time.monotonic() - begin)
    yield Finding(check="store", state="ok", found=f"{uri}: created once, read, deleted in {took:.0f} ms")


def buckets(uris: Iterable[str]) -> Iterator[Finding]:
    """Whether the buckets of other addresses are there and may be listed; folders and empty addresses are left out."""
    for uri in dict.fromkeys(each for each in uris if each.startswith("s3://")):
        try:
            open_store(uri).exists(FOLDER)
        except UserError as error:
            yield Finding(check="store", state="failed", found=" ".join(str(error).split()))
            continue
        yield Finding(check="store", state="ok", found=f"{uri}: its bucket is there")


def _problem(store: Store, key: str) -> tuple[str, str] | None:
    first, second = b"first", b"second"
    if not store.create(key, first):
        return "an object that was just named at random was there already", "look at what the store really is"
    if store.create(key, second) or store.read(key) != first:
        return (
            "an object was created twice: it does not honour conditional writes (If-None-Match)",
            "use a store that does; with this one two batches may both win a request",
        )
    if store.list(FOLDER).count(key) != 1:
        return "an object that was written is not listed", "use a store whose listings are consistent"
    store.delete(key)
    if store.exists(key):
        return "an object that was deleted is still there", "give the right to delete objects (s3:DeleteObject)"
    return None


def _remove(store: Store, key: str) -> None:
    """Every version of the probe, as far as that is allowed: where it is not, an empty name is left."""
    try:
        store.purge(key)
    except UserError:
        return
