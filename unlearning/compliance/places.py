"""Where things of compliance lie in the store.

| key | what | names a person |
|---|---|---|
| `requests/<id>.json` | what was asked | yes |
| `same/<digest>/<id>` | empty; finds requests for the same subject or records | yes, by a digest |
| `ledger/<id>/<sequence>.json` | one event | no |
| `seals/<id>/<sequence>.<kind>.<digest>` | empty; says that the event was there | no |
| `open/<id>` | empty; the request is not closed | no |
"""

from __future__ import annotations

from collections.abc import Iterator

from unlearning.core.errors import UserError
from unlearning.storage.store import MissingKeyError, Store

REQUESTS, SAME, LEDGER, SEALS, OPEN = "requests", "same", "ledger", "seals", "open"


def request_key(request: str) -> str:
    """The request object."""
    return f"{REQUESTS}/{request}.json"


def same_folder(digest: str) -> str:
    """The requests for the subject or the records of this digest."""
    return f"{SAME}/{digest}"


def event_folder(request: str) -> str:
    """The events of a request."""
    return f"{LEDGER}/{request}"


def event_key(request: str, sequence: int) -> str:
    """One event."""
    return f"{event_folder(request)}/{sequence:08}.json"


def seal_folder(request: str) -> str:
    """The seals of a request."""
    return f"{SEALS}/{request}"


def open_key(request: str) -> str:
    """The entry of a request that is not closed."""
    return f"{OPEN}/{request}"


def names_in(store: Store, folder: str) -> Iterator[str]:
    """The keys in a folder, without the folder's name."""
    return (key.removeprefix(f"{folder}/") for key in store.list(folder))


def create_surely(store: Store, key: str, data: bytes) -> bool:
    """As `store.create`, but when no answer arrives, look whether the object is this call's.

    Contenders must write different bytes, except where it does not matter whose object it is.

    Raises:
        UserError: it cannot be known; at most, the object was made.
    """
    try:
        return store.create(key, data)
    except UserError as lost:
        try:
            return store.read(key) == data
        except MissingKeyError:
            raise lost from None
