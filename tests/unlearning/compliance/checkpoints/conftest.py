from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import count

import pytest

from unlearning.compliance.certificates import keys
from unlearning.compliance.certificates.keyring import Keyring, trusted
from unlearning.compliance.checkpoints.making import Made, make
from unlearning.compliance.checkpoints.verification import Trust
from unlearning.compliance.ledger.state import State
from unlearning.compliance.retention import tombstones
from unlearning.storage.keys import certificate_key
from unlearning.storage.local import LocalStore

KEY = keys.new()
TRUST = Trust(Keyring(keys=(trusted(keys.raw_public(KEY)),)), only=True)
FULL = ("resolved", "claimed", "unlearned", "audited", "fulfilled", "certified")


@pytest.fixture(scope="session")
def trust() -> Trust:
    """Of the one key that signs in these tests."""
    return TRUST


@pytest.fixture(scope="session")
def signer() -> keys.PrivateKey:
    return KEY


@pytest.fixture
def checkpoint(store: LocalStore, now: datetime) -> Callable[..., Made]:
    """Makes one: `checkpoint()`."""

    def one(**changes: str) -> Made:
        return make(store, KEY, now=now, **changes)

    return one


@pytest.fixture
def honoured(store: LocalStore, told: Callable[..., State], now: datetime) -> Callable[[str], None]:
    """A request that was fulfilled and certified, with two tombstones: `honoured("C-1")`."""
    numbers: Iterator[int] = count()

    def one(request: str) -> None:
        records = [f"{next(numbers):064x}" for _ in range(2)]
        told(request, *FULL)
        tombstones.add(store, records, request=request, at=now)
        store.create(certificate_key(request, 1), f"certificate of {request}".encode())
        store.create(certificate_key(request, 1).replace(".json", ".html"), b"page")

    return one
