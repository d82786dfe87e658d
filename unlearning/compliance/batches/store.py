"""Batches: what one compliance run is to do, written before it is done.

| key | what | names a person |
|---|---|---|
| `batches/<batch>.json` | models, versions, requests and counts | no |
| `batches/<batch>/<model>/<digest>.json` | records of each request that the model is to forget | yes, by record ids |

A batch is made once by a conditional create and names the digests of its records, so a task that is tried again
finds what it decided before, and what an attempt left that died in between is not taken for it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeInt, StringConstraints, TypeAdapter, ValidationError

from unlearning.compliance.fields import Digest, Moment, Name, RequestId
from unlearning.compliance.ledger.events import digest_of
from unlearning.core.config import Config
from unlearning.core.errors import MissingKeyError, PurgedError, UserError
from unlearning.core.files import canonical_json
from unlearning.storage.keys import batch_key, wanted_key
from unlearning.storage.store import Store, check_key

BatchId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]
"""Name of the run; part of keys and tags, kept for ever."""

_BATCH_ID: TypeAdapter[str] = TypeAdapter(BatchId)


class ModelBatch(Config):
    """What a batch is to do for one model."""

    model: Annotated[Name, AfterValidator(check_key)]
    version: str
    """That served when the batch was made."""
    requests: tuple[RequestId, ...] = Field(min_length=1)
    """Those due first come first."""
    records: NonNegativeInt
    """How many records the model is to forget for them; one may belong to several requests."""
    wanted: Digest
    """Of the object that names them."""


class Skipped(Config):
    """A request that a batch leaves alone, and why: a person looks at it, or the next batch takes it."""

    request: RequestId
    why: str


class Batch(Config):
    """One run."""

    id: BatchId
    created: Moment
    until: Moment
    """When its claims end."""
    models: tuple[ModelBatch, ...]
    settled: tuple[RequestId, ...] = ()
    """Requests fulfilled at once: nothing that serves was trained on their records, or it has forgotten them."""
    nothing_found: tuple[RequestId, ...] = ()
    """Requests of which nothing that is stored holds any record."""
    skipped: tuple[Skipped, ...] = ()
    undone: tuple[str, ...] = ()
    """Versions that serve though they hold records that were erased, since somebody let them: in words."""
    damaged: tuple[str, ...] = ()
    """Of each snapshot that could not be read when the batch was made, one line."""

    def of(self, model: str) -> ModelBatch:
        """What is to be done for a model.

        Raises:
            UserError: nothing.
        """
        for each in self.models:
            if each.model == model:
                return each
        raise UserError(f"batch {self.id!r} has nothing to do for model {model!r}: give one of its own models")


class Wanted(Config):
    """The records that a model is to forget, by request."""

    records: dict[RequestId, tuple[Digest, ...]]
    look_alikes: tuple[RequestId, ...] = ()
    """Requests that ask for near-duplicates of their records too."""

    @property
    def ids(self) -> tuple[str, ...]:
        """All of them, each once, sorted."""
        return tuple(sorted({identity for some in self.records.values() for identity in some}))


def check_id(batch: str) -> str:
    """The id itself.

    Raises:
        UserError: it cannot be one.
    """
    try:
        return _BATCH_ID.validate_python(batch)
    except ValidationError:
        raise UserError(f"batch {batch[:80]!r} cannot be one's name: use letters, digits and . _ -") from None


def keep_wanted(store: Store, batch: str, model: str, records: Wanted) -> str:
    """Write what a model is to forget; returns the digest."""
    data = canonical_json(records.model_dump(mode="json")).encode()
    digest = digest_of(data)
    store.create(wanted_key(batch, model, digest), data)
    return digest


def keep(store: Store, batch: Batch) -> Batch:
    """Write a batch; of two writers of the same one wins.

    Returns:
        The batch as it is in the store.
    """
    if store.create(batch_key(batch.id), canonical_json(batch.model_dump(mode="json")).encode()):
        return batch
    return load(store, batch.id)


def find(store: Store, batch: str) -> Batch | None:
    """A batch; None if there is none.

    Raises:
        UserError: it is damaged.
    """
    try:
        return Batch.model_validate_json(store.read(batch_key(batch)))
    except MissingKeyError:
        return None
    except ValidationError:
        raise UserError(f"batch object {batch_key(batch)!r} is damaged: delete it, and run another batch") from None


def load(store: Store, batch: str) -> Batch:
    """A batch.

    Raises:
        UserError: there is none, or it is damaged.
    """
    found = find(store, batch)
    if found is None:
        raise UserError(f"batch {batch!r} is not in the store: collect it first")
    return found


def wanted(store: Store, batch: Batch, model: str) -> Wanted:
    """What a model is to forget for a batch.

    Raises:
        PurgedError: not any more.
        UserError: nothing, or it is damaged.
    """
    key = wanted_key(batch.id, model, batch.of(model).wanted)
    try:
        data = store.read(key)
    except MissingKeyError:
        text = f"batch {batch.id!r} names no records of model {model!r} any more: they were purged"
        raise PurgedError(text) from None
    try:
        found = Wanted.model_validate_json(data)
    except ValidationError:
        raise UserError(f"{key!r} is damaged: run another batch") from None
    if digest_of(data) != batch.of(model).wanted:
        raise UserError(f"{key!r} was changed: run another batch")
    return found
