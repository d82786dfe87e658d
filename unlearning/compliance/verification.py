"""Whether everything in the store about requests is as it was left.

What is compared: every event with its seal, with the event before it and with what may happen to a request; the
request object with the digest in its first event; the open index with where the requests stand. Somebody who can
write everywhere and makes all of it anew, seals too, is not found out by looking here: compare the digests with
what was kept elsewhere, such as in certificates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from unlearning.compliance import places
from unlearning.compliance.chain import History, Problem, ProblemKind, examine
from unlearning.compliance.events import digest_of
from unlearning.compliance.fields import is_request_id
from unlearning.compliance.state import END
from unlearning.store import MissingKeyError, Store

_EVENT = re.compile(r"([0-9]{8})\.json")


def verify(store: Store) -> Iterator[Problem]:
    """Everything that is wrong with any request, one request after the other.

    Others may go on writing meanwhile; what they do is no problem.

    Raises:
        UserError: the store cannot be used.
    """
    ids = {key.split("/")[1] for folder in (places.LEDGER, places.SEALS) for key in store.iterate(folder)}
    ids |= {key.split("/")[1] for key in store.iterate(places.OPEN)}
    ids |= {key.split("/")[1].removesuffix(".json") for key in store.iterate(places.REQUESTS)}
    for request in sorted(ids):
        if not is_request_id(request):
            text = "there is something of this name, which no request can have"
            yield Problem(kind="unknown_object", request=request, sequence=None, text=text)
            continue
        problems = verify_request(store, request)
        # Between two looks at the store others may have written: what is wrong then is so no longer.
        yield from verify_request(store, request) if problems else ()


def verify_request(store: Store, request: str) -> tuple[Problem, ...]:
    """Everything that is wrong with one request; nothing, if there is none.

    Raises:
        UserError: the store cannot be used.
    """
    history, strange = _read(store, request)
    found = [*history.problems]
    found += [_about(history, "unknown_object", f"{name!r} in its folder is no event") for name in strange]
    try:
        digest = digest_of(store.read(places.request_key(request)))
    except MissingKeyError:
        digest = ""
    is_open = store.exists(places.open_key(request))
    if history.state is None:
        if not found and (digest or is_open):
            found.append(_about(history, "unfinished", "it was not added to the end: add it again"))
        return tuple(found)
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


def _read(store: Store, request: str) -> tuple[History, list[str]]:
    """All that there is of a request, and names in its folder that are no event's."""
    # The seals first: an event that is made meanwhile then has none, and never the other way round.
    seals = list(places.names_in(store, places.seal_folder(request)))
    objects: dict[int, bytes] = {}
    strange: list[str] = []
    for name in places.names_in(store, places.event_folder(request)):
        if (number := _EVENT.fullmatch(name)) is None or int(number[1]) == 0:
            strange.append(name)
            continue
        with suppress(MissingKeyError):
            objects[int(number[1])] = store.read(places.event_key(request, int(number[1])))
    return examine(request, objects, seals), strange


def _about(history: History, kind: ProblemKind, text: str) -> Problem:
    return Problem(kind=kind, request=history.request, sequence=None, text=text)
