"""Collecting: what each open request concerns, and which of them a batch claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from unlearning.compliance.batches import store as batches
from unlearning.compliance.batches.reconcile import reconcile
from unlearning.compliance.batches.store import Batch, ModelBatch, Skipped, Wanted
from unlearning.compliance.inventory import Inventory
from unlearning.compliance.ledger.events import (
    Claimed,
    Details,
    Escalated,
    Fulfilled,
    How,
    NothingFound,
    Released,
    Resolved,
)
from unlearning.compliance.ledger.state import END, NO_MODEL, State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests import open_requests, requests
from unlearning.compliance.requests.requests import Request
from unlearning.compliance.requests.resolution import ConcernedRecords, SettledModel, concern
from unlearning.compliance.retention import forgotten
from unlearning.compliance.retention.erase import erase
from unlearning.compliance.retention.policy import label, listed
from unlearning.compliance.retention.withdraw import withdraw
from unlearning.core.errors import UserError
from unlearning.registry.client import Registry
from unlearning.registry.tags import FULFILLED, Tags
from unlearning.storage.pictures import StoredPictures
from unlearning.storage.store import Store

BY = "collect"

MOST_FORGOTTEN = 0.5
"""Share of a model's members that a batch may make it forget: beyond it there is little left of the model, and
whether to keep one at all is for a person to say."""


@dataclass
class CollectResult:
    """What is to be done, and what was done at once."""

    batch: Batch
    left: list[str] = field(default_factory=list)
    """Models that have something to forget now."""
    nothing_found: list[str] = field(default_factory=list)
    """Requests of which nothing that is stored holds any record."""
    settled: list[str] = field(default_factory=list)
    """Requests fulfilled at once: nothing that serves was trained on their records, or it has forgotten them."""
    skipped: list[Skipped] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    """Versions that serve though they hold records that were erased: in words."""

    def counts(self) -> dict[str, int]:
        """How many requests go which way."""
        claimed = {request for each in self.batch.models for request in each.requests}
        return {
            "claimed": len(claimed),
            "nothing_found": len(self.nothing_found),
            "settled": len(self.settled),
            "skipped": len(self.skipped),
            "undone": len(self.undone),
            "damaged_snapshots": len(self.batch.damaged),
        }

    def finished(self) -> Batch:
        """The batch with all that was settled, as it is kept."""
        found = {name: tuple(getattr(self, name)) for name in ("settled", "nothing_found", "skipped", "undone")}
        return self.batch.model_copy(update=found)


@dataclass
class _Looked:
    """A request, looked up."""

    state: State
    request: Request
    concern: ConcernedRecords


class Collection:
    """One collection under way."""

    def __init__(self, store: Store, registry: Registry, batch: str, until: datetime, now: datetime) -> None:
        self.store, self.registry, self.ledger = store, registry, Ledger(store)
        self.until, self.now = until, now
        self.result = CollectResult(Batch(id=batch, created=now, until=until, models=()))
        self.pictures = StoredPictures(store)
        self.looked: list[_Looked] = []
        self.inventory = Inventory((), (), {}, {})

    @property
    def batch(self) -> str:
        return self.result.batch.id

    def recover(self, states: Sequence[State], grace_days: int) -> bool:
        """What batches left behind whose claims have ended: what they had finished counts, the rest is released.

        Returns:
            Whether there was anything, so that the states are not what they were.
        """
        left = {
            (model.batch, name)
            for state in states
            for name, model in state.models.items()
            if model.batch and not model.live(self.now) and model.status not in ("fulfilled", "escalated")
        }
        for batch, model in sorted(left):
            reconcile(
                self.store,
                self.registry,
                batch=batch,
                model=model,
                now=self.now,
                grace_days=grace_days,
                otherwise="release",
            )
        return bool(left)

    def go_on(self, made: Batch, grace_days: int) -> None:
        """What is left of a batch, claimed again where it was released."""
        self.result.batch = made
        others = self.busy(open_requests.collect(self.store, mend=True).states)
        for each in made.models:
            given: dict[str, Any] = {"batch": made.id, "model": each.model, "now": self.now}
            reconcile(self.store, self.registry, **given, grace_days=grace_days, otherwise="keep")
            claimed = [each.model not in others and self._again(each.model, request) for request in each.requests]
            if any(claimed):
                self.result.left.append(each.model)

    def _again(self, model: str, request: str) -> bool:
        """Whether this batch has the model for a request, or has it again."""
        state = self.ledger.state(request)
        held = state.models.get(model)
        if held is None or held.status in ("fulfilled", "escalated"):
            return False
        if held.status == "pending" and state.status not in END:
            details = Claimed(model=model, batch=self.batch, until=self.until)
            self.ledger.append(state, details, by=BY, now=self.now)
            return True
        return held.batch == self.batch

    def busy(self, states: Sequence[State]) -> set[str]:
        """Models on which other batches work: what two make of one version cannot both serve."""
        return {
            name
            for state in states
            for name, model in state.models.items()
            if model.live(self.now) and model.batch != self.batch
        }

    def look_up(self, states: Sequence[State], grace_days: int) -> None:
        """Find what requests concern, and settle those that need no unlearning. What waits for its certificate is
        looked up again: something may serve by now that holds the records."""
        self.inventory = Inventory.of(self.store, self.registry)
        self.result.undone = list(self._undone())
        for state in states:
            try:
                self._look_up(state, grace_days)
            except UserError as error:  # one request that cannot be looked up does not keep the others waiting
                self.result.skipped.append(Skipped(request=state.request, why=str(error)))
        self.result.batch = self.result.batch.model_copy(update={"damaged": self.inventory.damaged})

    def _look_up(self, state: State, grace_days: int) -> None:
        request = requests.load(self.store, state.request, digest=state.digest).request
        if not self.inventory.complete and not self.inventory.knows(request):
            self.inventory = self.inventory.with_other_ids(self.store)
        each = _Looked(state, request, concern(request, self.inventory))
        if state.status == "fulfilled" and not self._holds_again(each):
            self._erase(each)  # of somebody who has no certificate yet more may have come in
            return
        if self.inventory.damaged and not (each.concern.members or each.concern.settled):
            # Neither that nothing was found nor that nothing was trained on it: what cannot be read may say otherwise.
            self._skip(
                each, f"it stays open, since the person could be in what cannot be read: {self.inventory.damaged[0]}"
            )
            return
        self._resolve(each)
        if not each.concern.records:
            similar = self.inventory.similar_to(request)
            if similar:
                persons = "1 whose id differs" if similar == 1 else f"{similar} whose ids differ"
                why = f"no record is of this subject, but of {persons} in case or spaces alone"
                self._skip(each, f"{why}: if that is who asks, reject this request and add it anew")
                return
            if each.state.status != "nothing_found":
                self._append(each, NothingFound())
            self.result.nothing_found.append(request.id)
            return
        self._settle(each, grace_days)
        if each.state.status == "fulfilled":
            self.result.settled.append(request.id)
        else:
            self.looked.append(each)

    def _undone(self) -> Iterator[str]:
        """Versions that serve though they hold records which another version had forgotten: somebody has gone back."""
        for model in self.inventory.models:
            serving = model.serving
            held = (serving.members or frozenset()) & self.inventory.erased.keys() if serving is not None else ()
            asked = sorted({request for record in held for request in self.inventory.erased[record]})
            states = {request: self.ledger.state(request) for request in asked}
            found = [name for name, state in states.items() if state.closed and model.name in state.models]
            if serving is not None and found:
                yield (
                    f"{label(serving.version)} serves and holds what was erased for {listed(found)}: promote a version "
                    "that has forgotten it"
                )

    def _holds_again(self, each: _Looked) -> bool:
        """Whether something serves that holds what was erased: another version than the one that fulfilled it."""
        again = [name for name in each.concern.members if each.state.models.get(name) is not None]
        for name in again:
            held = each.state.models[name]
            if held.status == "fulfilled":
                reason = "a version serves by now that was trained on the records"
                self._append(each, Released(model=name, batch=held.batch, reason=reason))
        return bool(each.concern.members)

    def _resolve(self, each: _Looked) -> None:
        """Models for which something was done already stay part of what is to be done."""
        kept = {name for name, model in each.state.models.items() if name and model.status != "pending"}
        names = tuple(sorted(kept | each.concern.members.keys() | each.concern.settled.keys()))
        found = each.concern
        details = Resolved(records=len(found.records), snapshots=found.snapshots, models=names if found.records else ())
        if each.state.resolution != details or set(names) - each.state.models.keys():
            self._append(each, details)

    def _settle(self, each: _Looked, grace_days: int) -> None:
        """Models that have nothing to forget: what is left of the records goes, and what holds them is withdrawn."""
        if each.state.models.keys() == {NO_MODEL}:
            self._fulfil(each, NO_MODEL, SettledModel("withdrawn", None, frozenset()), "never_trained")
            return
        for name, found in each.concern.settled.items():
            if each.state.models[name].status == "pending":
                withdraw(
                    model_name=name,
                    records={each.request.id: each.concern.records},
                    now=self.now,
                    grace_days=grace_days,
                    owner=BY,
                )
                self._fulfil(each, name, found, found.how)

    def _erase(self, each: _Looked) -> None:
        records = self.pictures.ids(self.inventory.to_erase(each.request))
        erase(self.store, self.registry, each.request.id, records, now=self.now)

    def _fulfil(self, each: _Looked, model: str, found: SettledModel, how: How) -> None:
        self._erase(each)
        version = found.version
        if found.records:
            forgot = version.version if version is not None and how == "already" else forgotten.WITHDRAWN
            forgotten.add(self.store, model, forgot, found.records)
        if version is not None:
            self.registry.set_tags(version, Tags(requests={each.request.id: FULFILLED}))
        details = Fulfilled(
            model=model,
            batch=self.batch,
            version=version.version if version is not None else "",
            digest=version.tags.digest if version is not None else "",
            how=how,
            records=len(found.records),
        )
        self._append(each, details)

    def claim_models(self, busy: set[str], only: str) -> None:
        """Claim what concerns each model that no other batch works on."""
        wanted = {model for each in self.looked for model in each.concern.members if only in ("", model)}
        claimed = [self._claim_model(model) for model in sorted(wanted - busy)]
        models = tuple(each for each in claimed if each is not None)
        self.result.batch = self.result.batch.model_copy(update={"models": models})
        self.result.left = [each.model for each in models]

    def _claim_model(self, model: str) -> ModelBatch | None:
        """Those due first, as far as enough of the model is left."""
        serving = self.inventory.model(model).serving
        assert serving is not None, "it was looked up"
        assert serving.members is not None, "looking it up is refused otherwise"
        most = int(MOST_FORGOTTEN * len(serving.members))
        wanted: dict[str, frozenset[str]] = {}
        for each in self.looked:
            records = each.concern.members.get(model, frozenset())
            if not records or each.state.models[model].status in ("fulfilled", "escalated"):
                continue
            together = records.union(*wanted.values())
            if len(records) <= most < len(together):
                self._skip(each, f"model {model} would forget too much at once: it waits for the next batch")
            elif self._claim(each, model, too_much=len(records) > most):
                wanted[each.request.id] = records
        if not wanted:
            return None
        names = Wanted(
            records={request: tuple(sorted(some)) for request, some in wanted.items()},
            look_alikes=tuple(
                each.request.id
                for each in self.looked
                if each.request.include_near_duplicates and each.request.id in wanted
            ),
        )
        return ModelBatch(
            model=model,
            version=serving.version.version,
            requests=tuple(wanted),
            records=len(names.ids),
            wanted=batches.keep_wanted(self.store, self.batch, model, names),
        )

    def _claim(self, each: _Looked, model: str, *, too_much: bool) -> bool:
        """Whether the batch may work on the model for this request."""
        try:
            self._append(each, Claimed(model=model, batch=self.batch, until=self.until))
            if too_much:
                reason = f"more than {MOST_FORGOTTEN:.0%} of what the model was trained on would have to go"
                self._append(each, Escalated(model=model, batch=self.batch, reason=reason))
                self._skip(each, f"model {model}: {reason}: a person decides")
        except UserError as error:
            self._skip(each, str(error))
            return False
        return not too_much

    def _append(self, each: _Looked, details: Details) -> None:
        each.state = self.ledger.append(each.state, details, by=BY, now=self.now)

    def _skip(self, each: _Looked, why: str) -> None:
        self.result.skipped.append(Skipped(request=each.request.id, why=why))
