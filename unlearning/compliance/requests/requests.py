"""What was asked: one person's erasure demand, read from JSON and kept in the store.

The request object is the only thing that names the person, beside an index that finds requests for the same
subject or records; both can be deleted later. It holds random bits too: the ledger keeps its digest for ever,
and nobody shall find out a subject id by trying them all.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, StrictBool, ValidationError, model_validator

from unlearning.compliance.fields import CLOCK_DIFFERENCE, Digest, Moment, Name, OptionalName, RequestId, described
from unlearning.compliance.ledger.events import digest_of
from unlearning.compliance.requests.deadlines import clock
from unlearning.core.config import Config
from unlearning.core.errors import MissingKeyError, UserError
from unlearning.core.files import canonical_json, sha256_json
from unlearning.storage.keys import request_key, same_folder
from unlearning.storage.store import Store, create_idempotent

DEFAULT_BASIS = "GDPR Art. 17"

SHOWN = 20
"""As many requests for the same are named; beyond, nobody reads them one by one."""


def _distinct(ids: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(ids)) != len(ids):
        raise ValueError("a record id stands there twice")
    return ids


class Request(Config):
    """One person's erasure demand."""

    id: RequestId
    """The company's own case number: kept for ever, so it must not name the person."""
    records: Annotated[tuple[Digest, ...], AfterValidator(_distinct)] = ()
    """Record ids; empty if a subject is given."""
    subject: Name | None = None
    """Subject id, as snapshots name it; None if records are given."""
    received: Moment
    legal_basis: Name = DEFAULT_BASIS
    model: OptionalName = ""
    """Registered model; empty for every model that was trained on the records."""
    include_near_duplicates: StrictBool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.records) == (self.subject is not None):
            raise ValueError("give either records or subject")
        return self


class RequestObject(Config):
    """What is written of a request."""

    request: Request
    salt: str = Field(pattern=r"^[0-9a-f]{32}$")


@dataclass(frozen=True, slots=True)
class Kept:
    """A request as it is in the store."""

    request: Request
    digest: str
    """Of the object's exact bytes; the ledger names it."""


def parse(data: bytes, *, where: str, now: datetime) -> tuple[Request, ...]:
    """The requests in JSON: one object, or a list of them.

    Args:
        where: what the JSON is called in messages, such as its path.

    Raises:
        UserError: not JSON, or a request is not valid; names the place, never the person.
    """
    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_without_repetition)
    except RecursionError:
        raise UserError(f"{where} is no list of requests: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{where} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 text: byte {error.start} is damaged") from None
    except ValueError as error:
        raise UserError(f"{where} is not usable JSON: {error}") from None
    if isinstance(document, dict):
        return (make(document, where=where, now=now),)
    if not isinstance(document, list) or not document:
        raise UserError(f"{where} holds no requests: give one JSON object or a list of them")
    requests = tuple(
        make(entry, where=f"{where}, request {number}", now=now) for number, entry in enumerate(document, start=1)
    )
    first: dict[str, int] = {}
    for number, request in enumerate(requests, start=1):
        if first.setdefault(request.id, number) != number:
            raise UserError(
                f"{where}: requests {first[request.id]} and {number} have the same id {request.id!r}: give each its own"
            )
    return requests


def make(document: Any, *, where: str, now: datetime) -> Request:
    """One checked request.

    Raises:
        UserError: a field is wrong; names it, never its value.
    """
    try:
        request = Request.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{where}: {described(error)}") from None
    if request.received > now + CLOCK_DIFFERENCE:
        raise UserError(f"{where}: received: {clock(request.received)} is in the future: give the time of arrival")
    return request


def keep(store: Store, request: Request) -> Kept:
    """Write the request object, unless it is there already.

    Raises:
        UserError: there is one of this id with other content.
    """
    document = RequestObject(request=request, salt=secrets.token_hex(16)).model_dump(mode="json")
    data = canonical_json(document).encode()
    made = create_idempotent(store, request_key(request.id), data)
    kept = Kept(request, digest_of(data)) if made else load(store, request.id)
    refuse_other(kept, request)
    create_idempotent(store, _same_key(request), b"")
    return kept


def refuse_other(kept: Kept, request: Request) -> None:
    """Make sure that a request is the one that is kept under its id.

    Raises:
        UserError: it is another one.
    """
    if kept.request != request:
        raise UserError(f"request {request.id!r} is there already with other content: give this one another id")


def refuse_changed(kept: Kept, digest: str) -> None:
    """Make sure that a request is the one that the ledger names by this digest.

    Raises:
        UserError: it is not.
    """
    if kept.digest != digest:
        raise UserError(
            f"request {kept.request.id!r} is not what the ledger says was asked: run `unlearn ledger verify`"
        )


def find(store: Store, request: str) -> Kept | None:
    """The request of an id; None if there is none, or not any more.

    Raises:
        UserError: its object is damaged.
    """
    key = request_key(request)
    try:
        data = store.read(key)
    except MissingKeyError:
        return None
    try:
        return Kept(RequestObject.model_validate_json(data).request, digest_of(data))
    except ValidationError:
        raise UserError(f"request object {key!r} is damaged: run `unlearn ledger verify`") from None


def load(store: Store, request: str, *, digest: str | None = None) -> Kept:
    """The request of an id.

    Args:
        digest: what the ledger says of it; None if there are no events yet.

    Raises:
        UserError: there is none, or not any more, or it is damaged or another one.
    """
    kept = find(store, request)
    if kept is None:
        raise UserError(f"request {request!r} is not in the store: it was never added, or its content was deleted")
    if digest is not None:
        refuse_changed(kept, digest)
    return kept


def possible_duplicates(store: Store, request: Request) -> tuple[str, ...]:
    """Ids of other requests for the same subject or exactly the same records, sorted; the first `SHOWN`."""
    folder = same_folder(_same(request))
    found = (key.removeprefix(f"{folder}/") for key in store.iterate(folder))
    return tuple(islice((other for other in found if other != request.id), SHOWN))


def private_keys(store: Store, request: str) -> tuple[str, ...]:
    """Where everything lies that names the person, in the order in which it is to be deleted: the object that says
    where the rest is goes last. What the ledger says of the request stays.

    Raises:
        UserError: the request object is damaged.
    """
    kept = find(store, request)
    return () if kept is None else (_same_key(kept.request), request_key(request))


def _same(request: Request) -> str:
    return sha256_json({"subject": request.subject, "records": sorted(request.records)})


def _same_key(request: Request) -> str:
    return f"{same_folder(_same(request))}/{request.id}"


def _without_repetition(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"a key stands there twice in one object, number {len(found) + 1} of it")
        found[name] = value
    return found
