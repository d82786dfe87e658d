"""What a batch's work on a model means for each of its requests.

What happened is read from the registry, never from what a task says: a batch may have died at any point, and its
task may be repeated. A request counts as fulfilled when what serves of the model stands for data without its
records, and there is the version that was audited without them.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal

from unlearning.audit.escalation import action_named
from unlearning.compliance.batches import honoured
from unlearning.compliance.batches import store as batches
from unlearning.compliance.batches.store import Wanted
from unlearning.compliance.inventory import Inventory, TrainedModel
from unlearning.compliance.ledger.claims import ModelState
from unlearning.compliance.ledger.events import Audited, Details, Escalated, Fulfilled, How, Released, Unlearned
from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests import requests
from unlearning.compliance.retention import forgotten
from unlearning.compliance.retention.erase import erase_each
from unlearning.compliance.retention.withdraw import withdraw
from unlearning.core.errors import MissingKeyError, PurgedError
from unlearning.registry.client import Registry, Version
from unlearning.registry.history import ORIGINAL
from unlearning.registry.versions import data_of
from unlearning.storage.concurrency import side_by_side
from unlearning.storage.datasets import load_split
from unlearning.storage.pictures import ids_of_pictures
from unlearning.storage.store import Store

BY = "fulfil"

Otherwise = Literal["escalate", "release", "keep"]
Outcome = Literal["fulfilled", "escalated", "released", "kept"]


@dataclass
class FulfilResult:
    """What became of the requests of one model."""

    version: str
    """That serves."""
    fulfilled: list[str]
    escalated: list[str]
    released: list[str]
    """Left to the next batch."""


def reconcile(
    store: Store, registry: Registry, *, batch: str, model: str, now: datetime, grace_days: int, otherwise: Otherwise
) -> FulfilResult:
    """Bring the ledger of every request that a batch claimed a model for up to what the registry says.

    Args:
        grace_days: how long the versions are kept that are withdrawn.
        otherwise: what becomes of a request whose records still serve: `escalate` it to a person where the batch
            has done all it can, `release` it to the next batch where it gave up, `keep` it where it goes on.
    """
    wanted = _wanted(store, batch, model)
    inventory = Inventory.of(store, registry)
    trained = inventory.model(model)
    attempts = [each for each in trained.known if each.tags.batch == batch]
    serves = trained.serving.version if trained.serving is not None else None
    if otherwise == "escalate" and _replaced(store, batch, model, serves):
        otherwise = "release"  # nobody could have honoured it on what somebody else has replaced
    look = partial(_look, store, inventory, trained, batch)
    found = [each for each in side_by_side(look, wanted.records.items()) if each is not None]
    erased = {each.request: each.records | _more(store, each, wanted) for each in found if each.is_free}
    pictures = ids_of_pictures(store, {each.request: erased[each.request] for each in found if each.to_fulfil})
    # Tombstones first: from then on nothing new is made of the records, whatever happens next.
    stopped = erase_each(store, registry, pictures, now=now)
    free = [(each.request, each.free) for each in found if each.to_fulfil and each.request not in stopped]
    honoured.tag(registry, ((each, name) for name, first in free if first for each in _from(trained, first)))
    work = _Work(store, batch, trained, attempts, pictures, stopped, otherwise, now)
    result = FulfilResult(serves.version if serves is not None else "", [], [], [])
    for each, outcome in zip(found, side_by_side(work.settle, found), strict=True):
        if outcome != "kept":
            getattr(result, outcome).append(each.request)
    done = frozenset(result.fulfilled)
    if held := {name: records for name, records in erased.items() if name in done}:
        withdraw(model_name=model, records=held, now=now, grace_days=grace_days)
    for error in stopped.values():  # once everything else is done
        raise error
    return result


@dataclass(frozen=True)
class _Claimed:
    """A request that the batch has the model for, as it stands."""

    request: str
    state: State
    held: ModelState
    records: frozenset[str]
    """All of the person."""
    free: Version | None
    """That was first made without them; None where what serves holds them."""

    @property
    def waits(self) -> bool:
        """Whether the ledger does not say yet what became of it."""
        return self.held.status not in ("fulfilled", "escalated")

    @property
    def is_free(self) -> bool:
        """Whether what serves is without the records, by the ledger or by the registry."""
        return self.held.status == "fulfilled" or self.to_fulfil

    @property
    def to_fulfil(self) -> bool:
        """Whether the ledger is still to say so."""
        return self.waits and self.free is not None


def _look(
    store: Store, inventory: Inventory, model: TrainedModel, batch: str, wanted: tuple[str, tuple[str, ...]]
) -> _Claimed | None:
    request, some = wanted
    state = Ledger(store).state(request)
    # One that was withdrawn after the claim of a batch that died had ended is nobody's any more.
    held = None if state.ended else state.models.get(model.name)
    records = _records_of(store, inventory, request) | frozenset(some)
    free = _free(model, records)
    # The same batch can run twice at once: one attempt releases what the other then finishes.
    finished = free is not None and free.tags.batch == batch
    if held is None or not (held.batch == batch or (held.status == "pending" and finished)):
        return None
    return _Claimed(request, state, held, records, free)


def _wanted(store: Store, batch: str, model: str) -> Wanted:
    """Nothing where the batch died before it was written, or was purged, as all its requests are certified."""
    made = batches.find(store, batch)
    if made is None or all(each.model != model for each in made.models):
        return Wanted(records={})
    try:
        return batches.wanted(store, made, model)
    except PurgedError:
        return Wanted(records={})


def _replaced(store: Store, batch: str, model: str, serves: Version | None) -> bool:
    """Whether something serves that neither served when the batch was made nor was made by it."""
    made = batches.find(store, batch)
    before = [each.version for each in made.models if each.model == model] if made is not None else []
    return serves is None or (serves.version not in before and serves.tags.batch != batch)


def _records_of(store: Store, inventory: Inventory, request: str) -> frozenset[str]:
    """All records of the person, members of the model or not; none where the request's content was purged, since it
    is certified."""
    kept = requests.find(store, request)
    return inventory.to_erase(kept.request) if kept is not None else frozenset()


def _free(model: TrainedModel, records: Collection[str]) -> Version | None:
    """The version of the line that first stood for data without the records; None where what serves has them."""
    first = None
    for each in model.line:
        if each.holds(records):
            break
        first = each.version
    return first


def _more(store: Store, claimed: _Claimed, wanted: Wanted) -> frozenset[str]:
    """What the version forgot beside what was asked for by id: near-duplicates, for requests that want them erased."""
    version = claimed.free
    if claimed.request not in wanted.look_alikes or not claimed.to_fulfil or version is None:
        return frozenset()
    if not version.tags.value("from_split"):
        return frozenset()
    try:
        before = load_split(store, version.tags.from_split).members
    except MissingKeyError:
        return frozenset()
    left = load_split(store, data_of(version).split).members
    return frozenset(before) - frozenset(left) - frozenset(wanted.ids)


def _from(model: TrainedModel, free: Version) -> Iterator[Version]:
    """What serves, and what it was made from down to `free`."""
    for each in model.line:
        yield each.version
        if each.version == free:
            return


def _learned(model: TrainedModel, free: Version, records: frozenset[str]) -> frozenset[str]:
    """The records that the version which `free` was made from had been trained on; of one that was made from nothing,
    those that any version was."""
    line = model.line
    place = [each.version for each in line].index(free)
    held = line[place + 1 : place + 2] or model.holders(records)
    return records.intersection(frozenset[str]().union(*(each.members for each in held if each.members)))


@dataclass(frozen=True)
class _Work:
    """What a batch did with a model, for all of its requests."""

    store: Store
    batch: str
    model: TrainedModel
    attempts: Sequence[Version]
    pictures: Mapping[str, frozenset[str]]
    """Ids that were erased, by request."""
    stopped: Container[str]
    """Requests whose records could not be."""
    otherwise: Otherwise
    now: datetime

    def settle(self, claimed: _Claimed) -> Outcome:
        """Write to a request's ledger what it does not say yet."""
        if not claimed.waits:
            return "escalated" if claimed.held.status == "escalated" else "fulfilled"
        reconciliation = _Reconciliation(self.store, claimed.state, self.batch, self.model.name, self.now)
        if claimed.free is not None:
            if claimed.request in self.stopped:
                return "kept"
            records = self.pictures[claimed.request]
            reconciliation.fulfil(self.attempts, claimed.free, self.model, records)
            return "fulfilled"
        if self.otherwise == "escalate":
            reconciliation.escalate(self.attempts)
            return "escalated"
        if self.otherwise == "release":
            reconciliation.release()
            return "released"
        return "kept"


class _Reconciliation:
    """What happened to a model for one request, written to its ledger from where that stands."""

    def __init__(self, store: Store, state: State, batch: str, model: str, now: datetime) -> None:
        self.store, self.state = store, state
        self.batch, self.model, self.now = batch, model, now

    def fulfil(
        self, attempts: Sequence[Version], free: Version, trained: TrainedModel, records: Collection[str]
    ) -> None:
        """Its records are erased, and the versions say that they honour it."""
        how: How = "withdrawn" if free.tags.kind == ORIGINAL else "already"
        if free.tags.batch == self.batch == self.state.models[self.model].batch:
            self._tell([each for each in attempts if each.version != free.version])
            self._judged(free)
            how = "retrained" if free.tags.kind == "retrained" else "unlearned"
            how = "accepted" if free.tags.accepted == "yes" else how
        learned = _learned(trained, free, frozenset(records))
        forgotten.add(self.store, self.model, forgotten.WITHDRAWN if how == "withdrawn" else free.version, learned)
        self._append(
            Fulfilled(
                model=self.model,
                batch=self.batch,
                version=free.version,
                digest=free.tags.digest,
                how=how,
                records=len(learned),
            )
        )

    def escalate(self, attempts: Sequence[Version]) -> None:
        """Nothing that was tried may serve."""
        self._tell(attempts)
        outcome = attempts[-1].tags.verdict if attempts else "nothing could be tried"
        reason = f"no candidate may serve, the last one's audit says {outcome}" if attempts else outcome
        self._append(Escalated(model=self.model, batch=self.batch, reason=reason))

    def release(self) -> None:
        """The next batch tries."""
        self._append(Released(model=self.model, batch=self.batch, reason="the batch ended before it was done"))

    def _tell(self, attempts: Sequence[Version]) -> None:
        """Every candidate that was not told yet, in the order in which they were tried."""
        held = self.state.models[self.model]
        digests = [each.tags.digest for each in attempts]
        done = digests.index(held.candidate) if held.candidate in digests else 0
        for version in attempts[done:]:
            self._judged(version)

    def _judged(self, version: Version) -> None:
        """A candidate and its audit, where that is not what was told last.

        Of two attempts of a batch one may have had a candidate rejected when the other's served already: what serves
        is told last, whatever was told before.
        """
        held, digest = self.state.models[self.model], version.tags.digest
        outcome, action = version.tags.verdict, action_named(version.tags.action)
        if (held.candidate, held.status, held.outcome, held.action) == (digest, "audited", outcome, action):
            return
        if (held.candidate, held.status) != (digest, "unlearned"):
            method = version.tags.method
            self._append(Unlearned(model=self.model, batch=self.batch, digest=digest, method=method))
        self._append(Audited(model=self.model, batch=self.batch, outcome=outcome, action=action))

    def _append(self, details: Details) -> None:
        self.state = Ledger(self.store).append(self.state, details, by=BY, now=self.now)
