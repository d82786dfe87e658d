"""One line about a request, for people and for scripts; without what names a person."""

from __future__ import annotations

from datetime import datetime

from unlearning.compliance.ledger.claims import ModelStatus
from unlearning.compliance.ledger.state import END, State, Status
from unlearning.compliance.requests import deadlines
from unlearning.compliance.requests.deadlines import NextBatch
from unlearning.core.config import Config


class Overview(Config):
    """Where a request stands."""

    id: str
    status: Status
    received: datetime
    due: datetime
    waiting: bool
    """Whether its end is still to come."""
    overdue: bool
    """Waiting, although it is past due."""
    extended_months: int
    models: dict[str, ModelStatus]
    certified: bool
    warning: str
    """Of a deadline that has passed or will be missed; empty if there is nothing to warn of."""


def overview(state: State, now: datetime, batch: NextBatch | None = None) -> Overview:
    """What is to be known at a glance; warns of a deadline that the next batch cannot meet.

    Args:
        now: this machine's clock; where the ledger is ahead of it, the ledger counts.
    """
    now = max(now, state.at)
    waiting = state.status not in END
    return Overview(
        id=state.request,
        status=state.status,
        received=state.received,
        due=state.due,
        waiting=waiting,
        overdue=waiting and deadlines.overdue(state.due, now),
        extended_months=state.extension,
        models={name: model.status for name, model in state.models.items()},
        certified=bool(state.certificates),
        warning=deadlines.warning(state.due, now, batch) if waiting else "",
    )
