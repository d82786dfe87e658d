"""What can happen to a request, and the event that says that it did.

Events are kept for ever, so they hold counts and digests: no subject id, no record id, no label.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from unlearning.audit.escalation import Action
from unlearning.compliance.fields import Digest, Moment, Name, OptionalName, Reason, RequestId
from unlearning.compliance.requests.deadlines import OfficeDay
from unlearning.core.config import Config
from unlearning.core.files import canonical_json

NOTHING_BEFORE = "0" * 64
"""What stands for the digest of the event before the first."""


def _is_none(value: object) -> bool:
    """What events that were written before a field was there do not have is not spelled."""
    return value is None


class Received(Config):
    """The request arrived."""

    kind: Literal["received"] = "received"
    digest: Digest
    """Of the request object, `requests/<id>.json`."""
    received: Moment
    due: Moment
    day: OfficeDay | None = Field(default=None, exclude_if=_is_none)
    """Whose days the period is counted in; None before there was a zone, when it ended at the same time of day."""


class Extended(Config):
    """More time was taken, and the person told so."""

    kind: Literal["extended"] = "extended"
    months: Literal[1, 2]
    reason: Reason
    due: Moment
    day: OfficeDay | None = Field(default=None, exclude_if=_is_none)
    """As that of the receipt, with the offset at the new end."""


class Withdrawn(Config):
    """The person no longer asks for it."""

    kind: Literal["withdrawn"] = "withdrawn"
    reason: Reason


class Rejected(Config):
    """It will not be honoured, such as when it is not known who asks."""

    kind: Literal["rejected"] = "rejected"
    reason: Reason


class Resolved(Config):
    """What it concerns was looked up."""

    kind: Literal["resolved"] = "resolved"
    records: NonNegativeInt
    """How many records of all snapshots it concerns."""
    snapshots: tuple[Digest, ...]
    """Snapshots that hold one of them."""
    models: tuple[Name, ...]
    """Registered models that were trained on one of them."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.records and (self.models or self.snapshots):
            raise ValueError("no snapshot and no model can hold none of the records")
        if len(set(self.models)) != len(self.models) or len(set(self.snapshots)) != len(self.snapshots):
            raise ValueError("a model or a snapshot stands there twice")
        return self


class NothingFound(Config):
    """Nothing held any of its records."""

    kind: Literal["nothing_found"] = "nothing_found"


class _OfBatch(Config):
    model: Name
    batch: Name


class Claimed(_OfBatch):
    """A batch works on a model for it, alone until `until`; once more by the same batch: for longer."""

    kind: Literal["claimed"] = "claimed"
    until: Moment


class Released(_OfBatch):
    """The model is to be claimed anew: by a batch that gives up, or by a person after `escalated`."""

    kind: Literal["released"] = "released"
    reason: Reason


class Unlearned(_OfBatch):
    """There is a candidate."""

    kind: Literal["unlearned"] = "unlearned"
    digest: Digest
    """Of the candidate."""
    method: Name


class Audited(_OfBatch):
    """The candidate was judged."""

    kind: Literal["audited"] = "audited"
    outcome: Name
    action: Action


How = Literal["unlearned", "retrained", "accepted", "already", "withdrawn", "never_trained"]
"""`already`: for another request, or by a batch that died before it could say so. `withdrawn`: what serves was never
trained on the records, and every version that was is out of use. `never_trained`: no stored version was trained on
them."""


class Fulfilled(Config):
    """What serves has forgotten the records, or never learned them (`model` may then be empty)."""

    kind: Literal["fulfilled"] = "fulfilled"
    model: OptionalName
    batch: Name
    version: OptionalName = ""
    digest: Digest | Literal[""] = ""
    how: How
    records: NonNegativeInt | None = None
    """How many of the request's records the model had been trained on; None where that was not kept yet."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.how == "withdrawn" and not self.model:
            raise ValueError("withdrawn needs a model")
        if self.how not in ("never_trained", "withdrawn") and not (self.model and self.version and self.digest):
            raise ValueError(f"{self.how} needs model, version and digest")
        return self

    @model_serializer(mode="wrap")
    def _as_it_was_written(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Events from before counts were kept keep their bytes, over which digests were taken."""
        found: dict[str, Any] = serialise(self)
        return found if self.records is not None else {key: each for key, each in found.items() if key != "records"}


class Escalated(_OfBatch):
    """Only a person can go on."""

    kind: Literal["escalated"] = "escalated"
    reason: Reason


class Certified(Config):
    """A certificate was made."""

    kind: Literal["certified"] = "certified"
    certificate: Digest


class Purged(Config):
    """What was left of an earlier version was deleted."""

    kind: Literal["purged"] = "purged"
    model: Name
    version: Name
    objects: NonNegativeInt


Details = (
    Received | Extended | Withdrawn | Rejected | Resolved | NothingFound | Claimed | Released | Unlearned
    | Audited | Fulfilled | Escalated | Certified | Purged
)  # fmt: skip


class Event(Config):
    """One object of the ledger; its digest is that of its exact bytes."""

    request: RequestId
    sequence: int = Field(ge=1, lt=10**8)
    at: Moment
    """When it happened: the writer's clock, or the time of the event before it where that is later."""
    clock: Moment | None = Field(default=None, exclude_if=_is_none)
    """What the writer's clock said, where it was further back than two clocks may differ."""
    by: Name
    """Who or what acted: a role or a program. Kept for ever."""
    previous: Digest
    """Of the event before it."""
    token: str = Field(pattern=r"^[0-9a-f]{16}$")
    """Random, so that no two writers ever write the same bytes."""
    details: Annotated[Details, Field(discriminator="kind")]

    @model_validator(mode="after")
    def _clock_is_behind(self) -> Self:
        if self.clock is not None and self.clock >= self.at:
            raise ValueError("a clock is told only where it was behind")
        return self

    def bytes(self) -> bytes:
        """Its one spelling."""
        return canonical_json(self.model_dump(mode="json")).encode()


def read_event(data: bytes) -> Event | None:
    """The event in an object; None if it is no event or not spelled as one."""
    try:
        event = Event.model_validate(json.loads(data))
    except (ValidationError, ValueError, RecursionError):
        return None
    return event if event.bytes() == data else None


def digest_of(data: bytes) -> str:
    """SHA-256 of an object's exact bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
