"""Where one model stands for one request, and who may work on it. Nothing here reads or writes.

    pending → claimed → unlearned → audited → fulfilled | escalated
       ↑─────────┴───────────┴─────────┴─── released ──────┘

All by one batch. A candidate that is not to serve is followed by the next: audited → unlearned. A claim ends by
`released`, or with its time: another batch may then claim, after as long again as two clocks may differ. What
was escalated is claimed by nobody before a person released it. A model that was never trained on the records,
or that has forgotten them already, is fulfilled without an audit of its own. What was fulfilled is released where
another version serves by the time of the certificate, which holds the records again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from unlearning.audit.escalation import SERVING
from unlearning.compliance.fields import CLOCK_DIFFERENCE
from unlearning.compliance.ledger import events
from unlearning.compliance.requests.deadlines import clock

ModelStatus = Literal["pending", "claimed", "unlearned", "audited", "fulfilled", "escalated"]

UNAUDITED: tuple[events.How, ...] = ("already", "withdrawn", "never_trained")
"""Grounds that need no audit of this request's own."""

WORKING: tuple[ModelStatus, ...] = ("claimed", "unlearned", "audited")
"""A batch has the model."""

OfModel = (
    events.Claimed | events.Released | events.Unlearned | events.Audited | events.Fulfilled | events.Escalated
)  # fmt: skip


class RefusedError(Exception):
    """Why an event cannot happen now; whoever knows the request turns it into a user's error."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is known of a model for a request; what does not apply yet is empty."""

    status: ModelStatus = "pending"
    batch: str = ""
    until: datetime | None = None
    """When the batch's claim ends."""
    candidate: str = ""
    """Digest."""
    method: str = ""
    outcome: str = ""
    action: str = ""
    version: str = ""
    how: str = ""
    records: int | None = None
    """How many of the request's records it had been trained on, once it is fulfilled."""
    reason: str = ""
    """Why it was escalated."""

    def live(self, at: datetime) -> bool:
        """Whether a batch may be working on it, whatever the difference of the clocks."""
        return self.status in WORKING and self.until is not None and at <= self.until + CLOCK_DIFFERENCE


def refuse_while_live(name: str, model: ModelState, at: datetime) -> None:
    """Make sure that no batch works on a model.

    Raises:
        RefusedError: one may be working.
    """
    if model.live(at) and model.until is not None:
        raise RefusedError(f"batch {model.batch!r} works on model {name!r} until {clock(model.until)}: wait for it")


def model_after(now: ModelState, details: OfModel, at: datetime) -> ModelState:
    """The model after one more event.

    Raises:
        RefusedError: this cannot happen now.
    """
    if now.status == "fulfilled" and not isinstance(details, events.Released):
        raise RefusedError(f"model {details.model!r} is fulfilled")
    if now.status == "escalated" and not isinstance(details, events.Released):
        raise RefusedError(f"model {details.model!r} waits for a person, who releases it")
    if isinstance(details, events.Claimed):
        return _claimed(now, details, at)
    if isinstance(details, events.Fulfilled) and details.how in UNAUDITED and now.status == "pending":
        return _served(now, details)
    if now.batch != details.batch:
        holder = f"held by batch {now.batch!r}" if now.batch else "held by no batch"
        raise RefusedError(f"model {details.model!r} is {holder}, not by {details.batch!r}")
    return _worked_on(now, details)


def _worked_on(
    now: ModelState,
    details: events.Released | events.Unlearned | events.Audited | events.Fulfilled | events.Escalated,
) -> ModelState:
    match details:
        case events.Released():
            return ModelState()
        case events.Unlearned():
            return replace(now, status="unlearned", candidate=details.digest, method=details.method)
        case events.Audited():
            if now.status != "unlearned":
                raise RefusedError(f"model {details.model!r} has no candidate that was not judged yet")
            return replace(now, status="audited", outcome=details.outcome, action=details.action)
        case events.Escalated():
            return replace(now, status="escalated", until=None, reason=details.reason)
    return _fulfilled(now, details)


def _claimed(now: ModelState, details: events.Claimed, at: datetime) -> ModelState:
    if details.until <= at:
        raise RefusedError("the claim would have ended before it began")
    if now.batch == details.batch:
        return replace(now, until=details.until)
    refuse_while_live(details.model, now, at)
    return ModelState("claimed", details.batch, details.until)


def _fulfilled(now: ModelState, details: events.Fulfilled) -> ModelState:
    if details.how in UNAUDITED:
        return _served(now, details)
    grounds = ("accepted",) if now.action == "accept" else ("unlearned", "retrained")
    if now.status != "audited" or now.action not in SERVING or details.how not in grounds:
        raise RefusedError(f"the audit did not let model {details.model!r} serve as {details.how}")
    if now.candidate != details.digest:
        raise RefusedError(f"what serves is not the candidate of {details.model!r} that was audited")
    return _served(now, details)


def _served(now: ModelState, details: events.Fulfilled) -> ModelState:
    return replace(
        now,
        status="fulfilled",
        batch=details.batch,
        until=None,
        version=details.version,
        how=details.how,
        records=details.records,
    )
