"""Collecting: what each open request concerns, and which of them a batch claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from unlearning.compliance.batches import store as batches
from unlearning.compliance.batches.reconcile import reconcile
from unlearning.compliance.batches.settle import BY, Looked, Settling
from unlearning.compliance.batches.store import Batch, ModelBatch, Skipped, Wanted
from unlearning.compliance.inventory import Inventory
from unlearning.compliance.ledger.events import (
    Claimed,
    Details,
    Escalated,
    NothingFound,
    Released,
    Resolved,
)
from unlearning.compliance.ledger.state import END, State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests import open_requests, requests
from unlearning.compliance.requests.requests import Request
from unlearning.compliance.requests.resolution import concern
from unlearning.compliance.retention.policy import label, listed
from unlearning.core.errors import UserError
from unlearning.core.progress import MANY, track
from unlearning.registry.client import Registry
from unlearning.storage.concurrency import side_by_side
from unlearning.storage.store import Store

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


class Collection:
    """One collection under way."""

    def __init__(self, store: Store, registry: Registry, batch: str, until: datetime, now: datetime) -> None:
        self.store, self.registry, self.ledger = store, registry, Ledger(store)
        self.until, self.now = until, now
        self.result = CollectResult(Batch(id=batch, created=now, until=until, models=()))
        self.looked: list[Looked] = []
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
            again = () if each.model in others else side_by_side(partial(self._again, each.model), each.requests)
            if any(list(again)):
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
        found: list[Looked] = []
        with track("look up requests", len(states), least=MANY) as advance:
            for state, request in zip(states, side_by_side(self._load, states), strict=True):
                try:
                    found.append(self._look_up(state, request))
                except UserError as error:  # one that cannot be looked up does not keep the others waiting
                    self.result.skipped.append(Skipped(request=state.request, why=str(error)))
                advance("")
        again: list[Looked] = []
        settled: list[Looked] = []
        with track("record what was found", len(found), least=MANY) as advance:
            for each, outcome in zip(found, side_by_side(self._record, found), strict=True):
                if outcome == "nothing_found":
                    self.result.nothing_found.append(each.request.id)
                elif outcome == "again":
                    again.append(each)
                elif outcome == "concerned":
                    settled.append(each)
                else:
                    self._skip(each, outcome)
                advance("")
        self._settle(settled, again, grace_days)
        self.result.batch = self.result.batch.model_copy(update={"damaged": self.inventory.damaged})

    def _load(self, state: State) -> Request | UserError:
        try:
            return requests.load(self.store, state.request, digest=state.digest).request
        except UserError as error:
            return error

    def _look_up(self, state: State, request: Request | UserError) -> Looked:
        if isinstance(request, UserError):
            raise request
        if not self.inventory.complete and not self.inventory.knows(request):
            self.inventory = self.inventory.with_other_ids(self.store)
        return Looked(state, request, concern(request, self.inventory))

    def _record(self, each: Looked) -> str:
        """What was found of a request goes into its ledger.

        Returns:
            `concerned`, `nothing_found`, or `again` for one that is fulfilled and still is; else why it is skipped.
        """
        try:
            return self._recorded(each)
        except UserError as error:
            return str(error)

    def _recorded(self, each: Looked) -> str:
        if each.state.status == "fulfilled" and not self._holds_again(each):
            return "again"
        if self.inventory.damaged and not (each.concern.members or each.concern.settled):
            # Neither that nothing was found nor that nothing was trained on it: what cannot be read may say otherwise.
            return f"it stays open, since the person could be in what cannot be read: {self.inventory.damaged[0]}"
        self._resolve(each)
        if each.concern.records:
            return "concerned"
        similar = self.inventory.similar_to(each.request)
        if similar:
            persons = "1 whose id differs" if similar == 1 else f"{similar} whose ids differ"
            why = f"no record is of this subject, but of {persons} in case or spaces alone"
            return f"{why}: if that is who asks, correct it (`unlearn requests correct`)"
        if each.state.status != "nothing_found":
            self._append(each, NothingFound())
        return "nothing_found"

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

    def _holds_again(self, each: Looked) -> bool:
        """Whether something serves that holds what was erased: another version than the one that fulfilled it."""
        again = [name for name in each.concern.members if each.state.models.get(name) is not None]
        for name in again:
            held = each.state.models[name]
            if held.status == "fulfilled":
                reason = "a version serves by now that was trained on the records"
                self._append(each, Released(model=name, batch=held.batch, reason=reason))
        return bool(each.concern.members)

    def _resolve(self, each: Looked) -> None:
        """Models for which something was done already stay part of what is to be done."""
        kept = {name for name, model in each.state.models.items() if name and model.status != "pending"}
        names = tuple(sorted(kept | each.concern.members.keys() | each.concern.settled.keys()))
        found = each.concern
        details = Resolved(records=len(found.records), snapshots=found.snapshots, models=names if found.records else ())
        if each.state.resolution != details or set(names) - each.state.models.keys():
            self._append(each, details)

    def _settle(self, found: Sequence[Looked], again: Sequence[Looked], grace_days: int) -> None:
        work = Settling(self.store, self.registry, self.inventory, self.batch, self.now, grace_days)
        stopped = work.settle(found, again)
        for each in [*again, *found]:
            if each.request.id in stopped:
                self._skip(each, stopped[each.request.id])
        for each in found:
            if each.state.status == "fulfilled":
                self.result.settled.append(each.request.id)
            elif each.request.id not in stopped:
                self.looked.append(each)

    def claim_models(self, busy: set[str], only: str, most: int = 0) -> None:
        """Claim what concerns each model that no other batch works on, those with the earliest deadlines first.

        Args:
            busy: models on which others work.
            only: of this model; empty for all.
            most: models that are claimed, 0 for all; the others wait for the next batch.
        """
        concerned = (model for each in self.looked for model in sorted(each.concern.members))
        claimed: list[ModelBatch] = []
        for model in dict.fromkeys(model for model in concerned if only in ("", model) and model not in busy):
            if most and len(claimed) == most:
                self._leave(model, most)
            elif (found := self._claim_model(model)) is not None:
                claimed.append(found)
        self.result.batch = self.result.batch.model_copy(update={"models": tuple(claimed)})
        self.result.left = [each.model for each in claimed]

    def _leave(self, model: str, most: int) -> None:
        """Say of every request that it waits for a batch with room for this model."""
        for each in self.looked:
            if self._is_left(each, model):
                self._skip(each, f"model {model} waits for the next batch: this one has {most} models")

    def _is_left(self, each: Looked, model: str) -> bool:
        """Whether the model has something to forget for a request, and has not yet."""
        wanted = bool(each.concern.members.get(model))
        return wanted and each.state.models[model].status not in ("fulfilled", "escalated")

    def _claim_model(self, model: str) -> ModelBatch | None:
        """Those due first, as far as enough of the model is left."""
        serving = self.inventory.model(model).serving
        assert serving is not None, "it was looked up"
        assert serving.members is not None, "looking it up is refused otherwise"
        most = int(MOST_FORGOTTEN * len(serving.members))
        taken: list[Looked] = []
        together: set[str] = set()
        for each in self.looked:
            if not self._is_left(each, model):
                continue
            records = each.concern.members[model]
            if len(records) <= most < len(together | records):
                self._skip(each, f"model {model} would forget too much at once: it waits for the next batch")
                continue
            taken.append(each)
            together |= records if len(records) <= most else set()
        wanted: dict[str, frozenset[str]] = {}
        for each, why in zip(taken, side_by_side(partial(self._claim, model, most), taken), strict=True):
            if why:
                self._skip(each, why)
            else:
                wanted[each.request.id] = each.concern.members[model]
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

    def _claim(self, model: str, most: int, each: Looked) -> str:
        """Claim the model for a request; returns why it is not to be worked on, empty where it is."""
        try:
            self._append(each, Claimed(model=model, batch=self.batch, until=self.until))
            if len(each.concern.members[model]) <= most:
                return ""
            reason = f"more than {MOST_FORGOTTEN:.0%} of what the model was trained on would have to go"
            self._append(each, Escalated(model=model, batch=self.batch, reason=reason))
            return f"model {model}: {reason}: a person decides"
        except UserError as error:
            return str(error)

    def _append(self, each: Looked, details: Details) -> None:
        each.append(self.store, details, self.now)

    def _skip(self, each: Looked, why: str) -> None:
        self.result.skipped.append(Skipped(request=each.request.id, why=why))
