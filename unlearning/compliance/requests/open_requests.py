"""Which requests are open, and where each stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby

from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.core.errors import DamagedLedgerError, UnknownRequestError
from unlearning.storage.concurrency import side_by_side
from unlearning.storage.keys import LEDGER
from unlearning.storage.store import Store


@dataclass(frozen=True, slots=True)
class Unusable:
    """A request that nothing can be done for before a person looked at it."""

    request: str
    why: str


@dataclass(frozen=True, slots=True)
class Collected:
    """The open requests."""

    states: tuple[State, ...]
    """Those due first come first."""
    unusable: tuple[Unusable, ...]
    """One damaged ledger does not keep the others waiting; tell a person."""


def collect(store: Store, *, mend: bool) -> Collected:
    """Every open request and where it stands, without looking at the closed ones.

    Args:
        mend: put right what crashes left behind, see `Ledger.mend`; a batch does, whoever only looks does not.

    Raises:
        UserError: the store cannot be used.
    """
    ledger = Ledger(store)
    states: list[State] = []
    unusable: list[Unusable] = []
    for found in side_by_side(partial(_look, ledger), ledger.open_requests()):
        if isinstance(found, Unusable):
            unusable.append(found)
            continue
        state = ledger.mend(found) if mend and (found.closed or not found.head.sealed) else found
        if not state.closed:
            states.append(state)
    return Collected(tuple(sorted(states, key=_by_due)), tuple(unusable))


def standing(store: Store, *, closed: bool) -> Iterator[State | Unusable]:
    """Every open request, or every one that has events, one by one by id; only looks."""
    ledger = Ledger(store)
    if closed:
        ids = (key.split("/")[1] for key in store.iterate(LEDGER))
        yield from side_by_side(partial(_look, ledger), (request for request, _ in groupby(ids)))
    else:
        found = side_by_side(partial(_look, ledger), ledger.open_requests())
        yield from (each for each in found if isinstance(each, Unusable) or not each.closed)


def _look(ledger: Ledger, request: str) -> State | Unusable:
    try:
        history = ledger.history(request)
    except (DamagedLedgerError, UnknownRequestError) as error:
        return Unusable(request, str(error))
    if history is None or history.state is None:
        return Unusable(request, f"request {request!r} was not added to the end: add it again")
    return history.state


def _by_due(state: State) -> tuple[datetime, str]:
    return state.due, state.request
