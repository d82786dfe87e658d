"""Why a fulfilled request has no certificate yet: kept until it has one, for whoever asks."""

from __future__ import annotations

from unlearning.core.errors import MissingKeyError
from unlearning.storage.keys import uncertified_key
from unlearning.storage.store import Store


def reason(store: Store, request: str) -> str:
    """Why the latest attempt to certify a fulfilled request failed; empty where there was none."""
    try:
        return store.read(uncertified_key(request)).decode()
    except MissingKeyError:
        return ""


def note(store: Store, request: str, why: str) -> None:
    """Keep why there is no certificate, in place of what was kept; empty where there is one."""
    store.delete(uncertified_key(request))
    if why:
        store.create(uncertified_key(request), why.encode())
