"""Tombstones: ids of records that were erased and may never be trained on again.

One object for each record and request, `tombstones/<record id>/<request id>`, made once and never changed. The keys say
who asked for what, so that one listing loads them all; the object adds when. Two requests may erase the same record.

A record id is a digest of pixels, which does not give the picture back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from pydantic import AwareDatetime, ValidationError

from unlearning.compliance.fields import Digest, RequestId, is_digest, is_request_id
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import canonical_json, sha256_json
from unlearning.storage.store import Store

PREFIX = "tombstones"
SHOWN = 3
"""Requests that an error names."""

Erased = Mapping[str, tuple[str, ...]]
"""The requests that erased it, by record id."""


class Tombstone(Config):
    """The content of one object."""

    record: Digest
    request: RequestId
    at: AwareDatetime
    """When it was set, in UTC."""

    @property
    def key(self) -> str:
        """Where it lies in the store."""
        return f"{PREFIX}/{self.record}/{self.request}"


def add(store: Store, records: Iterable[str], *, request: str, at: datetime | None = None) -> int:
    """Set a tombstone for each record; one that is there already stays as it is.

    Cut off in the middle, some are set: call it again.

    Args:
        records: ids, 64 hexadecimal digits each.
        request: id of the request that they were erased for.
        at: when, with a time zone; None for now.

    Returns:
        How many this call has set.

    Raises:
        UserError: an id is malformed, and nothing was set; or the store cannot be used.
    """
    when = at or datetime.now(UTC)
    try:
        stones = [Tombstone(record=each, request=request, at=when.astimezone(UTC)) for each in dict.fromkeys(records)]
    except ValidationError as error:
        field = error.errors()[0]["loc"][0]
        raise UserError(f"tombstones of request {request!r}: a {field} id is malformed: correct the request") from None
    return sum(store.create(each.key, canonical_json(each.model_dump(mode="json")).encode()) for each in stones)


def load(store: Store) -> Erased:
    """Every erased record with the requests it was erased for, sorted; takes one listing and reads no object.

    Raises:
        UserError: something else lies among them. To ignore it could let a record back in.
    """
    found: dict[str, tuple[str, ...]] = {}
    for key in store.list(PREFIX):
        _, _, name = key.partition("/")
        record, _, request = name.partition("/")
        if not (is_digest(record) and is_request_id(request)):
            raise UserError(f"{key!r} in the store is no tombstone: remove it, or put it right")
        found[record] = (*found.get(record, ()), request)
    return found


def digest(erased: Erased) -> str:
    """SHA-256 over the erased records, whoever asked: what depends on them alone may be kept until it changes."""
    return sha256_json(sorted(erased))


def among(erased: Erased, records: Iterable[str]) -> Erased:
    """Those of `records` that were erased."""
    return {each: erased[each] for each in records if each in erased}


def named(erased: Erased) -> str:
    """The requests in a few words, such as "requests R1, R2, R3 and 4 more"."""
    requests = sorted({request for each in erased.values() for request in each})
    more = f" and {len(requests) - SHOWN} more" if len(requests) > SHOWN else ""
    return f"request{'s' if len(requests) > 1 else ''} {', '.join(requests[:SHOWN])}{more}"
