"""The ledger: what happened to every request, one object per event, appended and never changed.

The next event's key is made by a conditional create, so of many writers one wins; the others were late and are
told so. After it comes its seal. A writer that dies in between leaves an event that counts but is not sealed:
whoever appends next, or collects, seals it first.
"""

from __future__ import annotations

import secrets
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import count

from pydantic import ValidationError

from unlearning.compliance.fields import CLOCK_DIFFERENCE, described, is_request_id
from unlearning.compliance.ledger.events import NOTHING_BEFORE, Details, Event, Received, digest_of
from unlearning.compliance.ledger.hash_chain import CLOCKS, History, Seal, examine, read_seal
from unlearning.compliance.ledger.state import State, after
from unlearning.compliance.requests import deadlines
from unlearning.core.errors import DamagedLedgerError, LostRaceError, MissingKeyError, UnknownRequestError, UserError
from unlearning.storage import store
from unlearning.storage.keys import OPEN, event_key, names_in, open_key, seal_folder
from unlearning.storage.store import Store

LOOKS = 3
"""At what looks like damage, before it is believed."""


class Ledger:
    """The events of all requests in a store; safe for many writers at once."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def history(self, request: str) -> History | None:
        """All events of a request and where it stands; None if there are none.

        Raises:
            UnknownRequestError: no request can have this id.
            DamagedLedgerError: the events or their seals are not as they were left.
            UserError: the store cannot be used.
        """
        if not is_request_id(request):
            raise UnknownRequestError(f"{request!r} is no request id: use up to 64 letters, digits and . _ -")
        # Listing seals need not be one instant: while others append, a later one may be seen without an earlier one.
        for _ in range(LOOKS - 1):
            with suppress(DamagedLedgerError):
                return self._look(request)
        return self._look(request)

    def _look(self, request: str) -> History | None:
        seals = list(names_in(self.store, seal_folder(request)))
        sealed = max((seal.sequence for seal in map(read_seal, seals) if seal is not None), default=0)
        objects: dict[int, bytes] = {}
        with suppress(MissingKeyError):
            for sequence in count(1):
                objects[sequence] = self.store.read(event_key(request, sequence))
        history = examine(request, objects, seals)
        for problem in history.problems:
            # Others may have appended since the seals were listed: their events look as if they had none.
            late = problem.kind == "missing_seal" and (problem.sequence or 0) > sealed
            if problem.damage and not late:
                where = "" if problem.sequence is None else f" at event {problem.sequence}"
                raise DamagedLedgerError(
                    f"ledger of request {request!r} is damaged{where} ({problem.text}): run `unlearn ledger verify`"
                )
        return history if objects else None

    def state(self, request: str) -> State:
        """Where a request stands.

        Raises:
            UnknownRequestError: there are no events of it.
            DamagedLedgerError: see `history`.
        """
        history = self.history(request)
        if history is None or history.state is None:
            raise UnknownRequestError(f"request {request!r} is not in the ledger: add it first")
        return history.state

    def begin(self, request: str, details: Received, *, by: str, now: datetime) -> State:
        """Write a request's first event; from then on it is among the open ones.

        Raises:
            LostRaceError: there is one already.
            TransitionError: the event does not agree with itself or with the clock.
        """
        return self._write(request, None, details, by, now)

    def append(self, state: State, details: Details, *, by: str, now: datetime) -> State:
        """Write the next event after the one that `state` ends with, and return the state after it.

        Whoever decided on a state that is no longer the last one is refused: that is what keeps a batch that
        lost its claim from writing.

        Args:
            by: a role or a program, kept for ever: no name of a person who asked.
            now: the writer's clock. The event's time is not before that of the event before it; where the
                clock is behind by more than two may differ, the event says so and a line is printed.

        Raises:
            LostRaceError: somebody else appended since `state` was read.
            TransitionError: this cannot happen to the request as it stands; nothing was written.
            UserError: the store cannot be used; the event may have been written, so read the state again.
        """
        if not state.head.sealed:
            self._seal(state)
        return self._write(state.request, state, details, by, now)

    def mend(self, state: State) -> State:
        """Put right what a crash between two writes left behind: a missing seal, an open entry of a closed request."""
        if not state.head.sealed:
            self._seal(state)
        if state.closed:
            self.store.delete(open_key(state.request))
        return replace(state, head=replace(state.head, sealed=True))

    def open_requests(self) -> tuple[str, ...]:
        """The ids in the open index, sorted; of those, some may just have been closed."""
        return tuple(names_in(self.store, OPEN))

    def _write(self, request: str, state: State | None, details: Details, by: str, now: datetime) -> State:
        event = _event(request, state, details, by, now)
        data = event.bytes()
        moved = after(state, event, digest_of(data))
        if state is None:
            store.create_idempotent(self.store, open_key(request), b"")
        if not store.create_idempotent(self.store, event_key(request, event.sequence), data):
            raise LostRaceError(
                f"request {request!r} got another event {event.sequence} before {details.kind}: "
                "look at it again and repeat what is still to be done"
            )
        if event.clock is not None:
            behind = f"{deadlines.clock(event.clock)}, before {deadlines.clock(event.at)} of the event before it"
            print(f"warning: request {request!r}: {details.kind} was written at {behind}: {CLOCKS}", file=sys.stderr)
        # The event counts from here on, so a store that is lost now must not look as if it did not; without its
        # seal it is sealed by whoever comes next.
        with suppress(UserError):
            return self.mend(moved)
        return moved

    def _seal(self, state: State) -> None:
        head = state.head
        name = Seal(head.sequence, head.kind, head.digest).name
        store.create_idempotent(self.store, f"{seal_folder(state.request)}/{name}", b"")


def _event(request: str, state: State | None, details: Details, by: str, now: datetime) -> Event:
    before = now if state is None else state.at
    try:
        return Event(
            request=request,
            sequence=1 if state is None else state.head.sequence + 1,
            at=max(now, before),
            clock=now if now < before - CLOCK_DIFFERENCE else None,
            by=by,
            previous=NOTHING_BEFORE if state is None else state.head.digest,
            token=secrets.token_hex(8),
            details=details,
        )
    except ValidationError as error:
        raise UserError(f"event {details.kind} of request {request!r}: {described(error)}") from None
