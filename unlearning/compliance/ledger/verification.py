"""Whether everything in the store about requests is as it was left.

What is compared: every event with its seal, with the event before it and with what may happen to a request; the
request object with the digest in its first event; the open index with where the requests stand. Somebody who can
write everywhere and makes all of it anew, seals too, is not found out by looking here: signed checkpoints
are for that, see `compliance.checkpoints`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from unlearning.compliance.fields import is_request_id
from unlearning.compliance.ledger.events import digest_of
from unlearning.compliance.ledger.hash_chain import History, Problem, ProblemKind, examine
from unlearning.compliance.ledger.state import END
from unlearning.core.errors import MissingKeyError, UnknownRequestError
from unlearning.storage.concurrency import side_by_side
from unlearning.storage.keys import (
    LEDGER,
    OPEN,
    REQUESTS,
    SEALS,
    event_folder,
    event_key,
    names_in,
    open_key,
    request_key,
    seal_folder,
)
from unlearning.storage.store import Store

_EVENT = re.compile(r"([0-9]{8})\.json")


def verify(store: Store) -> Iterator[Problem]:
    """Everything that is wrong with any request, one request after the other.

    Others may go on writing meanwhile; what they do is no problem.

    Raises:
        UserError: the store cannot be used.
    """
    ids = {key.split("/")[1] for folder in (LEDGER, SEALS, OPEN) for key in store.iterate(folder)}
    ids |= {_request_of(key) for key in store.iterate(REQUESTS)}
    for problems in side_by_side(partial(_look_twice, store), sorted(ids)):
        yield from problems or ()


def verify_request(store: Store, request: str) -> tuple[Problem, ...]:
    """Everything that is wrong with one request.

    Raises:
        UnknownRequestError: there is nothing of it.
        UserError: the store cannot be used.
    """
    problems = _look_twice(store, request) if is_request_id(request) else None
    if problems is None:
        raise UnknownRequestError(f"request {request!r} is not in the store: check the id")
    return problems


def _look_twice(store: Store, request: str) -> tuple[Problem, ...] | None:
    """What is still wrong at a second look: while one looks, others may write."""
    if not is_request_id(request):
        text = "there is something of this name, which no request can have"
        return (Problem(kind="unknown_object", request=request, sequence=None, text=text),)
    return _look(store, request) and _look(store, request)


def _look(store: Store, request: str) -> tuple[Problem, ...] | None:
    """What seems to be wrong; None if there is nothing at all of a request."""
    history, strange = _read(store, request)
    found = [*history.problems]
    found += [_about(history, "unknown_object", f"{name!r} in its folder is no event") for name in strange]
    try:
        digest = digest_of(store.read(request_key(request)))
    except MissingKeyError:
        digest = ""
    is_open = store.exists(open_key(request))
    if history.state is None:
        if not found and (digest or is_open):
            found.append(_about(history, "unfinished", "it was not added to the end: add it again"))
        return tuple(found) or None
    if not digest and history.state.status not in END:
        found.append(_about(history, "request_missing", "what was asked is not there, so no batch can honour it"))
    if digest and digest != history.state.digest:
        found.append(_about(history, "request_changed", "the request object is not the one that was received"))
    if not any(problem.damage for problem in found):
        if history.state.closed and is_open:
            found.append(_about(history, "still_open", "it is closed, but among the open ones"))
        if not history.state.closed and not is_open:
            found.append(_about(history, "not_open", "no batch would find it, as it is not among the open ones"))
    return tuple(found)


def _request_of(key: str) -> str:
    """The request whose object this is; the key itself if it is none's."""
    request = key.removeprefix(f"{REQUESTS}/").removesuffix(".json")
    return request if key == request_key(request) else key


def _read(store: Store, request: str) -> tuple[History, list[str]]:
    """All that there is of a request, and names in its folder that are no event's."""
    # The seals first: an event that is made meanwhile then has none, and never the other way round.
    seals = list(names_in(store, seal_folder(request)))
    objects: dict[int, bytes] = {}
    strange: list[str] = []
    for name in names_in(store, event_folder(request)):
        if (number := _EVENT.fullmatch(name)) is None or int(number[1]) == 0:
            strange.append(name)
            continue
        with suppress(MissingKeyError):
            objects[int(number[1])] = store.read(event_key(request, int(number[1])))
    return examine(request, objects, seals), strange


def _about(history: History, kind: ProblemKind, text: str) -> Problem:
    return Problem(kind=kind, request=history.request, sequence=None, text=text)
