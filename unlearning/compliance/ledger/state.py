"""Where a request stands: its events folded in order. Nothing here reads or writes.

| status | means |
|---|---|
| `received` | not looked up yet |
| `resolved` | looked up; no batch works on it |
| `claimed` | a batch works, or worked until its claim ended, on one of its models |
| `escalated` | a person must decide about a model; its other models may go on |
| `fulfilled` | every model of the latest resolution is fulfilled |
| `withdrawn`, `rejected`, `nothing_found` | the end |

A request is closed when nothing is left to do for the person: withdrawn, rejected, or fulfilled and certified. One of
which nothing was found stays open: every batch looks again, until a person rejects it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, get_args

from unlearning.compliance.fields import CLOCK_DIFFERENCE
from unlearning.compliance.ledger import events
from unlearning.compliance.ledger.claims import WORKING, ModelState, RefusedError, model_after, refuse_while_live
from unlearning.compliance.requests import deadlines
from unlearning.core.errors import TransitionError

Status = Literal["received", "resolved", "claimed", "escalated", "fulfilled", "withdrawn", "rejected", "nothing_found"]
STATUSES: tuple[Status, ...] = get_args(Status)

END: tuple[Status, ...] = ("fulfilled", "withdrawn", "rejected", "nothing_found")
"""After these nothing can change but certificates and what is purged; before its first certificate, what was fulfilled
may turn out not to be: somebody may have let another version serve."""

NO_MODEL = ""
"""Stands for the models when a snapshot holds the records and none was trained on them."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a request."""

    sequence: int
    kind: str
    digest: str
    """Of its exact bytes."""
    sealed: bool = False
    """Whether its seal was seen."""


@dataclass(frozen=True, slots=True)
class State:
    """A request after its last event."""

    request: str
    head: Head
    digest: str
    """Of the request object."""
    received: datetime
    due: datetime
    at: datetime
    """The latest time of its events: it never runs backwards."""
    day: deadlines.OfficeDay | None = None
    """Whose days its first period is counted in; None before there was a zone."""
    extension: int = 0
    """Months."""
    fulfilled: datetime | None = None
    """When a model was last fulfilled, by the ledger's time."""
    resolution: events.Resolved | None = None
    models: Mapping[str, ModelState] = field(default_factory=dict)
    """Of the latest resolution, and what was fulfilled before it; by name."""
    ended: Literal["", "withdrawn", "rejected", "nothing_found"] = ""
    certificates: tuple[str, ...] = ()
    purged: tuple[events.Purged, ...] = ()

    @property
    def status(self) -> Status:
        """See the table above."""
        if self.ended:
            return self.ended
        found = {model.status for model in self.models.values()}
        if "escalated" in found:
            return "escalated"
        if found & set(WORKING):
            return "claimed"
        if found == {"fulfilled"}:
            return "fulfilled"
        return "received" if self.resolution is None else "resolved"

    @property
    def closed(self) -> bool:
        """Whether nothing is left to do for the person."""
        return self.ended in ("withdrawn", "rejected") or bool(self.certificates)


def after(state: State | None, event: events.Event, digest: str) -> State:
    """The state after one more event, whose exact bytes have this digest; None before the first.

    Raises:
        TransitionError: this cannot happen now.
    """
    head = Head(event.sequence, event.details.kind, digest)
    at = event.at if state is None else max(state.at, event.at)
    try:
        moved = _first(event, head) if state is None else _moved(state, event, at)
    except RefusedError as refused:
        now = "unknown" if state is None else state.status
        raise TransitionError(
            f"request {event.request!r} is {now} and cannot be {event.details.kind}: {refused}"
        ) from None
    done = at if isinstance(event.details, events.Fulfilled) else moved.fulfilled
    return replace(moved, head=head, at=at, fulfilled=done)


def _first(event: events.Event, head: Head) -> State:
    details = event.details
    if not isinstance(details, events.Received):
        raise RefusedError("it must be received first")
    if details.due != (due := _due(details.received, 0, details.day)):
        raise RefusedError(f"it must be due {deadlines.clock(due)}")
    if details.received > event.at + CLOCK_DIFFERENCE:
        raise RefusedError("it was received in the future: check the clock")
    return State(event.request, head, details.digest, details.received, details.due, event.at, details.day)


def _due(received: datetime, extension: int, day: deadlines.OfficeDay | None) -> datetime:
    try:
        return deadlines.due(received, extension, day)
    except (ValueError, OverflowError):
        raise RefusedError("its period leaves the calendar") from None


def _moved(state: State, event: events.Event, at: datetime) -> State:
    """The state after an event that happened `at`; claims are held by the clocks of those who work."""
    details, clock = event.details, event.clock or event.at
    match details:
        case events.Certified() | events.Purged():
            return _followed_up(state, details)
        case _ if state.status in END and not _looked_at_again(state, details):
            raise RefusedError("that is its end")
        case events.Received():
            raise RefusedError("it was received before")
        case events.Extended():
            return _extended(state, details, at)
        case events.Withdrawn() | events.Rejected():
            _refuse_while_claimed(state, state.models, clock)
            return replace(state, ended=details.kind)
        case events.Resolved():
            return _resolved(state, details, clock)
        case events.NothingFound():
            if state.resolution is None or state.resolution.records:
                raise RefusedError("the latest resolution must say so")
            return replace(state, ended="nothing_found")
    if details.model not in state.models:
        raise RefusedError(f"model {details.model!r} is not part of its latest resolution")
    model = model_after(state.models[details.model], details, clock)
    return replace(state, models={**state.models, details.model: model})


def _looked_at_again(state: State, details: events.Details) -> bool:
    if state.status == "nothing_found":
        return isinstance(details, events.Resolved | events.Withdrawn | events.Rejected)
    again = isinstance(details, events.Resolved | events.Released)
    return again and state.status == "fulfilled" and not state.certificates


def _followed_up(state: State, details: events.Certified | events.Purged) -> State:
    if state.status != "fulfilled":
        raise RefusedError("it must be fulfilled first")
    if isinstance(details, events.Purged):
        return replace(state, purged=(*state.purged, details))
    if details.certificate in state.certificates:
        raise RefusedError("by this certificate it is already")
    return replace(state, certificates=(*state.certificates, details.certificate))


def _extended(state: State, details: events.Extended, at: datetime) -> State:
    months = state.extension + details.months
    if months > deadlines.MOST_EXTENSION:
        raise RefusedError(f"{deadlines.MOST_EXTENSION} months are the most in all")
    if at > (end := _due(state.received, 0, state.day)):
        raise RefusedError(f"the person had to be told by {deadlines.clock(end)}")
    if _counted_in(details.day) != _counted_in(state.day):
        raise RefusedError("its period is counted in the days of another zone")
    if details.due != (due := _due(state.received, months, details.day)):
        raise RefusedError(f"it must then be due {deadlines.clock(due)}")
    return replace(state, extension=months, due=details.due)


def _counted_in(day: deadlines.OfficeDay | None) -> tuple[str, int] | None:
    return None if day is None else (day.zone, day.at_receipt)


def _resolved(state: State, details: events.Resolved, at: datetime) -> State:
    """Models that stay go on where they are; what was fulfilled is remembered; others are dropped."""
    named = details.models or ((NO_MODEL,) if details.records else ())
    _refuse_while_claimed(state, set(state.models) - set(named), at)
    kept = {name: model for name, model in state.models.items() if name in named or model.status == "fulfilled"}
    moved = replace(state, resolution=details, models={name: ModelState() for name in named} | kept)
    return replace(moved, ended="") if details.records else moved


def _refuse_while_claimed(state: State, names: Iterable[str], at: datetime) -> None:
    for name in names:
        refuse_while_live(name, state.models[name], at)
