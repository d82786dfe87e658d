"""Settling: requests that need no unlearning are fulfilled when they are collected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from unlearning.compliance.batches import honoured
from unlearning.compliance.inventory import Inventory
from unlearning.compliance.ledger.events import Details, Fulfilled
from unlearning.compliance.ledger.state import NO_MODEL, State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests.requests import Request
from unlearning.compliance.requests.resolution import ConcernedRecords
from unlearning.compliance.retention import forgotten
from unlearning.compliance.retention.erase import erase_each
from unlearning.compliance.retention.forgotten import WITHDRAWN
from unlearning.compliance.retention.withdraw import withdraw
from unlearning.core.errors import UserError
from unlearning.registry.client import Registry
from unlearning.registry.versions import Version
from unlearning.storage.concurrency import side_by_side
from unlearning.storage.pictures import ids_of_pictures
from unlearning.storage.store import Store

BY = "collect"


@dataclass
class Looked:
    """A request, looked up."""

    state: State
    request: Request
    concern: ConcernedRecords

    def append(self, store: Store, details: Details, now: datetime) -> None:
        """Write to its ledger."""
        self.state = Ledger(store).append(self.state, details, by=BY, now=now)


Unsettled = tuple[Looked, tuple[str, ...]]
"""A request, and the models that have nothing to forget for it."""


@dataclass(frozen=True)
class Settling:
    """One collection's settling."""

    store: Store
    registry: Registry
    inventory: Inventory
    batch: str
    now: datetime
    grace_days: int

    def settle(self, found: Sequence[Looked], again: Sequence[Looked]) -> dict[str, str]:
        """Models that have nothing to forget: what is left of the records goes, and what holds them is withdrawn.

        Args:
            again: requests that are fulfilled and have no certificate yet: more may have come in, which goes too.

        Returns:
            Why it could not be done, by request.
        """
        pending = [(each, names) for each in found if (names := tuple(_nothing_to_forget(each)))]
        stopped = self._withdraw(pending)
        looked = [*again, *(each for each, _ in pending)]
        wanted = {
            each.request.id: self.inventory.to_erase(each.request) for each in looked if each.request.id not in stopped
        }
        failed = erase_each(self.store, self.registry, ids_of_pictures(self.store, wanted), now=self.now)
        stopped |= {name: str(error) for name, error in failed.items()}
        return stopped | self._fulfil([pair for pair in pending if pair[0].request.id not in stopped])

    def _withdraw(self, pending: Sequence[Unsettled]) -> dict[str, str]:
        """Take out of use what holds the records; returns why it could not be done, by request."""
        stopped: dict[str, str] = {}
        for model in sorted({name for _, names in pending for name in names} - {NO_MODEL}):
            records = {each.request.id: each.concern.records for each, names in pending if model in names}
            try:
                withdraw(model_name=model, records=records, now=self.now, grace_days=self.grace_days, owner=BY)
            except UserError as error:
                stopped |= dict.fromkeys(records, str(error))
        return stopped

    def _fulfil(self, pending: Sequence[Unsettled]) -> dict[str, str]:
        """Say what was settled: what forgot what, on the versions, and last in the ledgers; returns why it could not be
        said, by request."""
        serving: list[tuple[Version, str]] = []
        for each, names in pending:
            for name in names:
                found = each.concern.settled.get(name)
                if found is None:
                    continue
                version = found.version
                forgot = version.version if version is not None and found.how == "already" else WITHDRAWN
                forgotten.add(self.store, name, forgot, found.records)
                if version is not None:
                    serving.append((version, each.request.id))
        honoured.tag(self.registry, serving)
        reasons = zip(pending, side_by_side(self._tell, pending), strict=True)
        return {each.request.id: why for (each, _), why in reasons if why}

    def _tell(self, pending: Unsettled) -> str:
        each, names = pending
        for name in names:
            found = each.concern.settled.get(name)
            version = found.version if found is not None else None
            details = Fulfilled(
                model=name,
                batch=self.batch,
                version=version.version if version is not None else "",
                digest=version.tags.digest if version is not None else "",
                how=found.how if found is not None else "never_trained",
                records=len(found.records) if found is not None else 0,
            )
            try:
                each.append(self.store, details, self.now)
            except UserError as error:  # such as of one that was withdrawn meanwhile
                return str(error)
        return ""


def _nothing_to_forget(each: Looked) -> Iterator[str]:
    if each.state.models.keys() == {NO_MODEL}:
        yield NO_MODEL
        return
    yield from (name for name in each.concern.settled if each.state.models[name].status == "pending")
