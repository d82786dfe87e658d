"""What people do with requests: add them, correct, withdraw, reject, extend them, and release what was left to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import ValidationError

from unlearning.compliance import fields
from unlearning.compliance.fields import described, normal_form
from unlearning.compliance.ledger import events
from unlearning.compliance.ledger.state import END, State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests import deadlines, requests
from unlearning.compliance.requests.requests import Request
from unlearning.core.config import Config
from unlearning.core.errors import LostRaceError, UserError
from unlearning.core.progress import MANY, track
from unlearning.storage.concurrency import Answer, Item, side_by_side
from unlearning.storage.store import Store

HERE = "command line"
"""Who acts, where nobody says."""


class Added(Config):
    """What became of a request that was added."""

    request: str
    created: bool
    """False: it was there before, and nothing changed."""
    due: datetime
    possible_duplicates: tuple[str, ...]
    """Other requests for the same subject or exactly the same records, whose content is still kept; the first few."""


def add(
    store: Store, asked: Sequence[Request], *, by: str, now: datetime, zone: str = deadlines.ZONELESS
) -> tuple[Added, ...]:
    """Keep requests and write their first events; what was added before changes nothing.

    Everything is checked before anything is written. When the store is lost on the way, add the same again:
    it goes on where it stopped.

    Args:
        by: a role, kept for ever.
        now: this machine's clock.
        zone: IANA name of the office's time zone, in whose days the deadline is counted.

    Raises:
        UserError: an id is taken by another request, `by` names a person who asks, the zone is unknown, the ledger of
            one is damaged, or the store cannot be used.
    """
    fields.name(by, "by")
    for request in asked:
        _refuse_naming(request, by, "who acts")
    days = [deadlines.office_day(request.received, zone) for request in asked]
    known = _each("look up requests", partial(_known, store), asked)
    written = _each("add requests", partial(_write, store, by, now), tuple(zip(asked, known, days, strict=True)))
    others = side_by_side(partial(requests.possible_duplicates, store), asked)
    return tuple(
        Added(request=request.id, created=created, due=state.due, possible_duplicates=same)
        for request, (state, created), same in zip(asked, written, others, strict=True)
    )


def _each(what: str, ask: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """The answers, asked for side by side: a store takes much longer to answer than to be asked."""
    found: list[Answer] = []
    with track(what, len(items), least=MANY) as advance:
        for answer in side_by_side(ask, items):
            found.append(answer)
            advance("")
    return found


def _known(store: Store, request: Request) -> State | None:
    """Where a request stands that was added before; None if it was not, or not to the end."""
    # In this order: content is written before the first event, so that what has one and no content had it deleted.
    history, kept = Ledger(store).history(request.id), requests.find(store, request.id)
    if kept is not None:
        requests.refuse_other(kept, request)
    if history is None or history.state is None:
        return None
    if kept is None:
        raise UserError(
            f"request {request.id!r} was recorded before and its content was deleted: give this one another id"
        )
    requests.refuse_changed(kept, history.state.digest)
    return history.state


def _write(
    store: Store, by: str, now: datetime, each: tuple[Request, State | None, deadlines.OfficeDay]
) -> tuple[State, bool]:
    """Where the request stands now, and whether this has made it so."""
    ledger, (request, state, day) = Ledger(store), each
    if state is not None:
        return (state if state.head.sealed else ledger.mend(state)), False
    kept = requests.keep(store, request)
    due = deadlines.due(request.received, day=day)
    details = events.Received(digest=kept.digest, received=request.received, due=due, day=day)
    try:
        return ledger.begin(request.id, details, by=by, now=now), True
    except LostRaceError:
        state = ledger.state(request.id)
        requests.refuse_changed(kept, state.digest)
        return state, False


def correct(
    store: Store,
    request: str,
    *,
    new: str,
    subject: str | None = None,
    records: tuple[str, ...] = (),
    by: str,
    now: datetime,
    zone: str = deadlines.ZONELESS,
) -> Added:
    """Put right whom or what a request names: it is added anew under another id, with the time at which it arrived, so
    that its deadline stays; and the old one is rejected, since what its ledger says was asked never changes.

    Cut off in between, call it again.

    Args:
        new: id of the corrected request.
        subject, records: whom or what it should have named; one of both.
        zone: as of `add`.

    Raises:
        UserError: its content was deleted, it is at its end, a batch works on it, or the correction is no request.
    """
    state, kept = Ledger(store).state(request), requests.load(store, request)
    reason = f"corrected as {new}"
    done = state.ended == "rejected" and reason in _reasons(store, request)
    if state.status in END and state.status != "nothing_found" and not done:
        raise UserError(f"request {request!r} is {state.status}, which is its end: add another one")
    document = kept.request.model_dump() | {"id": new, "subject": subject, "records": records}
    corrected = requests.make(document, where=f"the correction of request {request!r}", now=now)
    if corrected.subject == kept.request.subject and corrected.records == kept.request.records:
        raise UserError(f"request {request!r} says that already: give what it should have said")
    for each in (kept.request, corrected):
        _refuse_naming(each, reason, "the new id")
    (added,) = add(store, [corrected], by=by, now=now, zone=zone)
    if not done:
        reject(store, request, reason=reason, by=by, now=now)
    return added


def _reasons(store: Store, request: str) -> list[str]:
    history = Ledger(store).history(request)
    return (
        [each.details.reason for each in history.events if isinstance(each.details, events.Rejected)] if history else []
    )


def withdraw(store: Store, request: str, *, reason: str, by: str, now: datetime) -> State:
    """The person no longer asks for it.

    Raises:
        UserError: a batch works on it, it is at its end, or the reason names the person.
    """
    return _decide(store, Ledger(store).state(request), events.Withdrawn, {"reason": reason}, by, now)


def reject(store: Store, request: str, *, reason: str, by: str, now: datetime) -> State:
    """It will not be honoured.

    Raises:
        UserError: a batch works on it, it is at its end, or the reason names the person.
    """
    return _decide(store, Ledger(store).state(request), events.Rejected, {"reason": reason}, by, now)


def extend(store: Store, request: str, *, months: int, reason: str, by: str, now: datetime) -> State:
    """Take 1 or 2 months more, 2 in all, within the first month.

    Raises:
        UserError: too late or too much, it is at its end, or the reason names the person.
    """
    if months not in (1, 2):
        raise UserError(f"request {request!r} cannot be extended by {months} months: take 1 or 2")
    state = Ledger(store).state(request)
    in_all = state.extension + months
    day = deadlines.office_day(state.received, state.day.zone, in_all) if state.day else None
    if day is not None and state.day is not None:
        # What its zone was when it arrived is known; tables of zones are corrected later.
        day = day.model_copy(update={"at_receipt": state.day.at_receipt})
    due = deadlines.due(state.received, in_all, day)
    return _decide(store, state, events.Extended, {"months": months, "reason": reason, "due": due, "day": day}, by, now)


def release(store: Store, request: str, *, model: str, reason: str, by: str, now: datetime) -> State:
    """Let the next batch try a model again that was left to a person.

    Raises:
        UserError: nothing was left to a person of that model, or the reason names the person who asked.
    """
    state = Ledger(store).state(request)
    held = state.models.get(model)
    if held is None or held.status != "escalated":
        raise UserError(f"request {request!r}: model {model!r} was not left to a person: there is nothing to release")
    return _decide(store, state, events.Released, {"model": model, "batch": held.batch, "reason": reason}, by, now)


def _refuse_naming(request: Request, text: str, what: str) -> None:
    """What is kept for ever names neither the person nor one of their records. Our own word for who acts, with which
    a subject id may agree by chance, says nothing of them."""
    if text == HERE:
        return
    subject = request.subject and normal_form(request.subject)
    named = subject and re.search(rf"(?<!\w){re.escape(subject)}(?!\w)", normal_form(text), re.IGNORECASE)
    if named or any(record in text.lower() for record in request.records):
        raise UserError(f"request {request.id!r}: {what} names the person, and is kept for ever: leave that out")


_Decision = type[events.Released] | type[events.Withdrawn] | type[events.Rejected] | type[events.Extended]


def _decide(store: Store, state: State, kind: _Decision, values: dict[str, Any], by: str, now: datetime) -> State:
    kept = requests.find(store, state.request)
    if kept is not None:
        _refuse_naming(kept.request, values["reason"], "the reason")
        _refuse_naming(kept.request, by, "who acts")
    try:
        details = kind.model_validate(values)
    except ValidationError as error:
        raise UserError(f"request {state.request!r}: {described(error)}") from None
    return Ledger(store).append(state, details, by=by, now=now)
