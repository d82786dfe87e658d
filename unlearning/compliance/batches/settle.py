"""What a batch's work on a model means for each of its requests.

What happened is read from the registry, never from what a task says: a batch may have died at any point, and its
task may be repeated. A request counts as fulfilled when what serves of the model stands for data without its
records, and there is the version that was audited without them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Literal

from unlearning.audit.escalation import action_named
from unlearning.compliance.batches import store as batches
from unlearning.compliance.batches.store import Wanted
from unlearning.compliance.ledger.events import Audited, Details, Escalated, Fulfilled, How, Released, Unlearned
from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.retention.erase import erase
from unlearning.compliance.retention.withdraw import withdraw
from unlearning.core.errors import MissingKeyError, PurgedError
from unlearning.registry.client import Registry, Version
from unlearning.registry.history import by_number, chain
from unlearning.registry.tags import FULFILLED, Tags
from unlearning.registry.versions import champion, data_of
from unlearning.storage.datasets import load_split
from unlearning.storage.store import Store

BY = "fulfil"

Otherwise = Literal["escalate", "release", "keep"]


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
    line = _line(registry, model)
    members = cache(lambda place: _members(store, line[place]))  # the same for every request
    by_version: dict[str, list[str]] = {}
    rungs = [each for each in registry.versions(model) if each.tags.batch == batch]
    result = FulfilResult(line[0].version if line else "", [], [], [])
    for request, records in wanted.records.items():
        state = Ledger(store).state(request)
        held = state.models.get(model)
        free = _free(line, members, records)
        # The same batch can run twice at once: one attempt releases what the other then finishes.
        finished = free is not None and free.tags.batch == batch
        if held is None or not (held.batch == batch or (held.status == "pending" and finished)):
            continue
        if held.status == "fulfilled":
            result.fulfilled.append(request)
            by_version.setdefault(held.version, []).append(request)
        elif held.status == "escalated":
            result.escalated.append(request)
        else:
            story = _Story(store, registry, state, batch, model, now)
            if free is not None:
                more = _repetitions(store, free, wanted) if request in wanted.look_alikes else frozenset[str]()
                story.fulfil(rungs, free, line, {*records, *more})
                result.fulfilled.append(request)
                by_version.setdefault(free.version, []).append(request)
            elif otherwise == "escalate":
                story.escalate(rungs)
                result.escalated.append(request)
            elif otherwise == "release":
                story.release()
                result.released.append(request)
    for version, some in by_version.items():
        withdraw(model_name=model, version=version, requests=some, now=now, grace_days=grace_days)
    return result


def _wanted(store: Store, batch: str, model: str) -> Wanted:
    """Nothing where the batch died before it was written, or was purged, as all its requests are certified."""
    made = batches.find(store, batch)
    if made is None or all(each.model != model for each in made.models):
        return Wanted(records={})
    try:
        return batches.wanted(store, made, model)
    except PurgedError:
        return Wanted(records={})


def _line(registry: Registry, model: str) -> tuple[Version, ...]:
    """What serves and what it was made from, the newest first; nothing where nothing serves."""
    versions = registry.versions(model)
    serves = champion(versions)
    return () if serves is None else chain(serves, by_number(versions))


def _members(store: Store, version: Version) -> frozenset[str] | None:
    """What a version was trained on and has not forgotten; None where that was purged."""
    try:
        return frozenset(load_split(store, data_of(version).split).members)
    except MissingKeyError:
        return None


def _free(
    line: Sequence[Version], members: Callable[[int], frozenset[str] | None], records: Sequence[str]
) -> Version | None:
    """The version of the line that first stood for data without the records; None where what serves has them.

    Args:
        members: of the line's versions, by their place in it.
    """
    first = None
    for place, version in enumerate(line):
        held = members(place)
        if held is None or not held.isdisjoint(records):
            break  # what was purged had them
        first = version
    return first


def _repetitions(store: Store, version: Version, wanted: Wanted) -> frozenset[str]:
    """What the version forgot beside what was asked for by id: near-duplicates, for requests that want them erased."""
    try:
        before = load_split(store, version.tags.from_split).members
    except MissingKeyError:
        return frozenset()
    left = load_split(store, data_of(version).split).members
    return frozenset(before) - frozenset(left) - frozenset(wanted.ids)


class _Story:
    """What happened to a model for one request, written to its ledger from where that stands."""

    def __init__(self, store: Store, registry: Registry, state: State, batch: str, model: str, now: datetime) -> None:
        self.store, self.registry, self.state = store, registry, state
        self.batch, self.model, self.now = batch, model, now

    def fulfil(
        self, rungs: Sequence[Version], free: Version, line: Sequence[Version], records: Collection[str]
    ) -> None:
        """Tombstones first: from then on nothing new is made of the records, whatever happens next."""
        erase(self.store, self.registry, self.state.request, records, now=self.now)
        for version in line[: line.index(free) + 1]:
            self.registry.set_tags(version, Tags(requests={self.state.request: FULFILLED}))
        how: How = "already"
        if free.tags.batch == self.batch == self.state.models[self.model].batch:
            self._tell([each for each in rungs if each.version != free.version])
            self._judged(free)
            how = "retrained" if free.tags.kind == "retrained" else "unlearned"
            how = "accepted" if free.tags.accepted == "yes" else how
        self._append(
            Fulfilled(model=self.model, batch=self.batch, version=free.version, digest=free.tags.digest, how=how)
        )

    def escalate(self, rungs: Sequence[Version]) -> None:
        """Nothing that was tried may serve."""
        self._tell(rungs)
        outcome = rungs[-1].tags.verdict if rungs else "nothing could be tried"
        reason = f"no candidate may serve, the last one's audit says {outcome}" if rungs else outcome
        self._append(Escalated(model=self.model, batch=self.batch, reason=reason))

    def release(self) -> None:
        """The next batch tries."""
        self._append(Released(model=self.model, batch=self.batch, reason="the batch ended before it was done"))

    def _tell(self, rungs: Sequence[Version]) -> None:
        """Every candidate that was not told yet, in the order in which they were tried."""
        held = self.state.models[self.model]
        digests = [each.tags.digest for each in rungs]
        done = digests.index(held.candidate) if held.candidate in digests else 0
        for version in rungs[done:]:
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
