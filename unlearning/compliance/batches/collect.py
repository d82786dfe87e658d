"""Collecting: what each open request concerns, and which of them a batch claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from unlearning.compliance.batches import store as batches
from unlearning.compliance.batches.settle import reconcile
from unlearning.compliance.batches.store import Batch, ModelBatch, Wanted
from unlearning.compliance.ledger.events import Claimed, Details, Escalated, Fulfilled, NothingFound, Resolved
from unlearning.compliance.ledger.state import END, NO_MODEL, State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests import open_requests, requests
from unlearning.compliance.requests.inventory import holdings, serving
from unlearning.compliance.requests.requests import Request
from unlearning.compliance.requests.resolution import ConcernedRecords, Holding, ServingData, concern
from unlearning.compliance.retention.erase import erase
from unlearning.core.errors import UserError
from unlearning.registry.client import Registry
from unlearning.storage.store import Store

BY = "collect"

MOST_FORGOTTEN = 0.5
"""Share of a model's members that a batch may make it forget: beyond it there is little left of the model, and
whether to keep one at all is for a person to say."""


@dataclass(frozen=True)
class Skipped:
    """A request that this batch leaves alone, and why: a person looks at it, or the next batch takes it."""

    request: str
    why: str


@dataclass
class CollectResult:
    """What is to be done, and what was done at once."""

    batch: Batch
    left: list[str] = field(default_factory=list)
    """Models that have something to forget now."""
    nothing_found: list[str] = field(default_factory=list)
    """Requests of which no snapshot holds any record."""
    settled: list[str] = field(default_factory=list)
    """Requests fulfilled at once: nothing that serves was trained on their records, or it has forgotten them."""
    skipped: list[Skipped] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many requests go which way."""
        claimed = {request for each in self.batch.models for request in each.requests}
        return {
            "claimed": len(claimed),
            "nothing_found": len(self.nothing_found),
            "settled": len(self.settled),
            "skipped": len(self.skipped),
        }

    def told(self) -> dict[str, Any]:
        """Everything, without what names a person."""
        skipped = [asdict(each) for each in self.skipped]
        found = {"nothing_found": self.nothing_found, "settled": self.settled, "skipped": skipped}
        return {"batch": self.batch.model_dump(mode="json"), **found}


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
        self.looked: list[_Looked] = []
        self.serving: dict[str, ServingData] = {}

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

    def look_up(self, states: Sequence[State]) -> None:
        """Find what requests concern, and settle those that need no unlearning."""
        held = tuple(holdings(self.store))
        self.serving = {each.model: each for each in serving(self.store, self.registry)}
        for state in states:
            if state.status == "fulfilled":
                continue  # it waits for its certificate
            try:
                self._look_up(state, held)
            except UserError as error:  # one request that cannot be looked up does not keep the others waiting
                self.result.skipped.append(Skipped(state.request, str(error)))

    def _look_up(self, state: State, held: Sequence[Holding]) -> None:
        request = requests.load(self.store, state.request, digest=state.digest).request
        each = _Looked(state, request, concern(request, held, tuple(self.serving.values())))
        self._resolve(each)
        if not each.concern.records:
            self._append(each, NothingFound())
            self.result.nothing_found.append(request.id)
        elif each.state.models.keys() == {NO_MODEL}:
            erase(self.store, self.registry, request.id, each.concern.records, now=self.now)
            self._append(each, Fulfilled(model=NO_MODEL, batch=self.batch, how="never_trained"))
            self.result.settled.append(request.id)
        elif each.state.status == "fulfilled":
            self.result.settled.append(request.id)
        else:
            self.looked.append(each)

    def _resolve(self, each: _Looked) -> None:
        """Models for which something was done already stay part of what is to be done."""
        kept = {name for name, model in each.state.models.items() if name and model.status != "pending"}
        names = tuple(sorted(kept | each.concern.members.keys()))
        found = each.concern
        details = Resolved(records=len(found.records), snapshots=found.snapshots, models=names if found.records else ())
        if each.state.resolution != details:
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
        most = int(MOST_FORGOTTEN * len(self.serving[model].members))
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
            version=self.serving[model].version,
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
        self.result.skipped.append(Skipped(each.request.id, why))
