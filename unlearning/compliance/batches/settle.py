"""Settling: requests that need no unlearning are fulfilled when they are collected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from unlearning.compliance.inventory import Inventory
from unlearning.compliance.ledger.events import Details, Fulfilled
from unlearning.compliance.ledger.state import NO_MODEL, State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests.requests import Request
from unlearning.compliance.requests.resolution import ConcernedRecords
from unlearning.compliance.retention import forgotten
from unlearning.compliance.retention.erase import erase_each
from unlearning.compliance.retention.forgotten import WITHDRAWN
from unlearning.compliance.retention.policy import label
from unlearning.compliance.retention.withdraw import withdraw
from unlearning.core.errors import UserError
from unlearning.registry.client import Registry
from unlearning.registry.tags import FULFILLED, Tags
from unlearning.registry.versions import Version
from unlearning.storage.concurrency import side_by_side
from unlearning.storage.pictures import StoredPictures
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
        pending = [(each, name) for each in found for name in _nothing_to_forget(each)]
        stopped = self._withdraw([pair for pair in pending if pair[1] != NO_MODEL])
        looked = {each.request.id: each for each in [*again, *(each for each, _ in pending)]}
        wanted = {name: self.inventory.to_erase(each.request) for name, each in looked.items() if name not in stopped}
        failed = erase_each(self.store, self.registry, StoredPictures(self.store).ids(wanted), now=self.now)
        stopped |= {name: str(error) for name, error in failed.items()}
        return stopped | self._fulfil([pair for pair in pending if pair[0].request.id not in stopped])

    def _withdraw(self, pending: Sequence[tuple[Looked, str]]) -> dict[str, str]:
        """Take out of use what holds the records; returns why it could not be done, by request."""
        stopped: dict[str, str] = {}
        for model in sorted({name for _, name in pending}):
            records = {each.request.id: each.concern.records for each, name in pending if name == model}
            try:
                withdraw(model_name=model, records=records, now=self.now, grace_days=self.grace_days, owner=BY)
            except UserError as error:
                stopped |= dict.fromkeys(records, str(error))
        return stopped

    def _fulfil(self, pending: Sequence[tuple[Looked, str]]) -> dict[str, str]:
        """Say what was settled: what forgot what, on the versions, and last in the ledgers; returns why it could not be
        said, by request."""
        honoured: dict[str, tuple[Version, dict[str, str]]] = {}
        for each, model in pending:
            found = each.concern.settled.get(model)
            if found is None:
                continue
            forgot = found.version.version if found.version is not None and found.how == "already" else WITHDRAWN
            forgotten.add(self.store, model, forgot, found.records)
            if found.version is not None:
                tags = honoured.setdefault(label(found.version), (found.version, {}))[1]
                tags[each.request.id] = FULFILLED
        for version, tags in honoured.values():
            self.registry.set_tags(version, Tags(requests=tags))
        told: dict[str, list[tuple[Looked, str]]] = {}
        for each, model in pending:
            told.setdefault(each.request.id, []).append((each, model))
        reasons = zip(told, side_by_side(self._tell, told.values()), strict=True)
        return {request: why for request, why in reasons if why}

    def _tell(self, pairs: Sequence[tuple[Looked, str]]) -> str:
        for each, model in pairs:
            found = each.concern.settled.get(model)
            version = found.version if found is not None else None
            details = Fulfilled(
                model=model,
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
