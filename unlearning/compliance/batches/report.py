"""What became of a batch: every request that it touched, for people and scripts, without what names a person."""

from __future__ import annotations

from datetime import datetime

from unlearning.compliance.batches import store as batches
from unlearning.compliance.batches.store import Batch
from unlearning.compliance.certificates import uncertified
from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests.open_requests import Unusable, standing
from unlearning.compliance.requests.overview import Overview, overview
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.storage.keys import certificate_key
from unlearning.storage.open import open_store
from unlearning.storage.store import Store


class Told(Config):
    """One request of the batch."""

    request: Overview
    certificate: str
    """Key of its newest certificate in the store; empty for none."""


class BatchReport(Config):
    """One batch."""

    batch: Batch
    requests: tuple[Told, ...]
    """Those that it worked on or settled."""
    waiting: tuple[Overview, ...]
    """Open requests that it left alone, those due first come first."""
    unusable: tuple[str, ...]
    """Requests that a person must look at."""
    uncertified: tuple[str, ...]
    """Fulfilled requests that have no certificate, and why; the next batch tries again."""

    @property
    def done(self) -> bool:
        """Whether every request of the batch is fulfilled and certified, none is left to a person, nothing serves that
        holds what was erased, and everything could be read."""
        certified = all(each.request.status == "fulfilled" and each.request.certified for each in self.requests)
        escalated = any(each.status == "escalated" for each in self.waiting)
        return (
            certified
            and not escalated
            and not (self.batch.undone or self.batch.damaged or self.unusable or self.uncertified)
        )


def batch_report(batch: str, *, now: datetime) -> BatchReport:
    """Gather it from the ledger.

    Raises:
        UserError: no such batch, or the store cannot be used.
    """
    store = open_store(settings.from_environment().store)
    made = batches.load(store, batch)
    mine = list(dict.fromkeys([*(request for each in made.models for request in each.requests), *made.settled]))
    opened = list(standing(store, closed=False))
    waiting = [each for each in opened if isinstance(each, State) and each.request not in mine]
    return BatchReport(
        batch=made,
        requests=tuple(_told(store, Ledger(store).state(request), now) for request in mine),
        waiting=tuple(overview(each, now) for each in sorted(waiting, key=lambda each: each.due)),
        unusable=tuple(f"{each.request}: {each.why}" for each in opened if isinstance(each, Unusable)),
        uncertified=tuple(
            f"{each.request}: {uncertified.reason(store, each.request) or 'not tried yet'}"
            for each in opened
            if isinstance(each, State) and each.status == "fulfilled"
        ),
    )


def _told(store: Store, state: State, now: datetime) -> Told:
    count = len(state.certificates)
    return Told(
        request=overview(state, now),
        certificate=certificate_key(state.request, count) if count else "",
    )
