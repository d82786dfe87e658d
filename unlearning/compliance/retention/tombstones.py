"""Tombstones: ids of records that were erased and may never be trained on again.

One object for each record and request, `tombstones/<record id>/<request id>`, made once and never changed. The keys say
who asked for what, so that one listing loads them all; the object adds when. Two requests may erase the same record.

A picture can have several ids: a grey one has two, and one with borders of a single colour also has those of what is
left without them (`unlearning.data.records.picture_ids`). `erase` sets a tombstone for each, and a snapshot is looked
up by all ids of its pictures, so neither padding nor a new encoding lets one back in.

A record id is a digest of pixels, which does not give the picture back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from pydantic import AwareDatetime, ValidationError

from unlearning.compliance.fields import Digest, RequestId, is_digest, is_request_id
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import canonical_json, sha256_json
from unlearning.data import snapshots
from unlearning.data.snapshots import Snapshot
from unlearning.storage.keys import TOMBSTONES, tombstone_key
from unlearning.storage.open import open_store
from unlearning.storage.store import Store

REFUSE, DROP = "refuse", "drop"
"""What becomes of erased records that a data source still holds."""

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
        return tombstone_key(self.record, self.request)


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
    for key in store.list(TOMBSTONES):
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


def erased_in(erased: Erased, snapshot: Snapshot) -> Erased:
    """The records of a snapshot whose pictures were erased under any of their ids, with the requests, sorted."""
    if not erased:
        return {}
    found = {
        identity: {request for each in names for request in erased.get(each, ())}
        for identity, names in snapshots.pictures(snapshot)
    }
    return {identity: tuple(sorted(requests)) for identity, requests in found.items() if requests}


def refuse_erased_in(snapshot: Snapshot, instead: str = "ingest again, with erased=drop") -> None:
    """Nothing new is made from a snapshot with records that were erased since.

    Args:
        instead: what to do then.

    Raises:
        UserError: there are such records.
    """
    _refuse(erased_in(load_all(), snapshot), f"snapshot {snapshot.manifest.digest[:12]}", instead)


def check_policy(erased: str) -> None:
    """Look at the parameter `erased`.

    Raises:
        UserError: it has no meaning.
    """
    if erased not in (REFUSE, DROP):
        raise UserError(f"erased {erased!r} is unknown: choose {REFUSE} or {DROP}")


def refuse_erased(records: Iterable[str], what: str, advice: str) -> None:
    """The check of what is made from data whose pixels are not at hand: by the records' own ids alone.

    Args:
        records: ids of all records that it would be made from.
        what: names the data for people.
        advice: what to do about it.

    Raises:
        UserError: some of them were erased; the message says how many, and on whose request.
    """
    _refuse(among(load_all(), records), what, advice)


def _refuse(found: Erased, what: str, advice: str) -> None:
    if found:
        count = "1 erased record" if len(found) == 1 else f"{len(found)} erased records"
        raise UserError(f"{what} holds {count} ({named(found)}): {advice}")


def without_erased(snapshot: Snapshot, erased: str) -> Snapshot:
    """A snapshot that was just read from its source, without the records that may not come back.

    Args:
        erased: `refuse` them, or `drop` them as a scheduled ingest does.

    Raises:
        UserError: it holds some and they are to be refused, or the policy has no meaning.
    """
    check_policy(erased)
    found = erased_in(load_all(), snapshot)
    if erased == DROP:
        return snapshots.without(snapshot, found.keys())
    advice = "remove them from the source, or ingest with erased=drop"
    _refuse(found, f"the source {snapshot.manifest.source}", advice)
    return snapshot


def load_all() -> Erased:
    """Everything that was erased, from the store of the settings."""
    return load(open_store(settings.from_environment().store))
