"""What a checkpoint holds: the last event of every request, every tombstone and every certificate.

None of them is ever changed or deleted, and an event names the one before it: with the last one all are held.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from unlearning.compliance.fields import is_digest, is_request_id
from unlearning.compliance.ledger.events import digest_of
from unlearning.compliance.ledger.hash_chain import Seal, read_seal
from unlearning.core.errors import MissingKeyError
from unlearning.storage.keys import CERTIFICATES, SEALS, TOMBSTONES, certificate_key, event_key, tombstone_key
from unlearning.storage.store import Store

_NAME = re.compile(r"[^/]+/([^/]+)/([^/]+?)(?:\.json)?")


class Thing(NamedTuple):
    """What the key of an object says."""

    request: str
    """Whose it is."""
    sequence: int | None
    """Of an event."""
    text: str
    """What it is, for people."""


def thing(key: str) -> Thing | None:
    """What lies at a key; None for what no checkpoint holds."""
    found = _NAME.fullmatch(key)
    if found is None:
        return None
    folder, name = found[1], found[2]
    if is_request_id(folder) and name.isascii() and name.isdecimal() and len(name) <= 8:
        if key == event_key(folder, int(name)):
            return Thing(folder, int(name), "the event")
        if key == certificate_key(folder, int(name)):
            return Thing(folder, None, f"certificate {int(name)}")
    if is_digest(folder) and is_request_id(name) and key == tombstone_key(folder, name):
        return Thing(name, None, f"the tombstone of record {folder[:12]}…")
    return None


def sealed(store: Store) -> Iterator[tuple[str, Seal]]:
    """Every request with each of its seals, by one listing; what is no seal is left out."""
    for key in store.iterate(SEALS):
        request, _, name = key.partition("/")[2].partition("/")
        seal = read_seal(name)
        if seal is not None and is_request_id(request):
            yield request, seal


def kept(store: Store) -> Iterator[str]:
    """The keys of every tombstone and every certificate."""
    for folder in (TOMBSTONES, CERTIFICATES):
        yield from (key for key in store.iterate(folder) if thing(key) is not None)


def digest_at(store: Store, key: str) -> str:
    """SHA-256 of the object at a key; empty if there is none."""
    try:
        return digest_of(store.read(key))
    except MissingKeyError:
        return ""
