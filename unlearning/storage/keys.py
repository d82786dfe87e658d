"""Every key of the store, spelled here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

from unlearning.storage.store import Store

BATCHES = "batches"

REQUESTS, SAME, LEDGER, SEALS, OPEN = "requests", "same", "ledger", "seals", "open"

SNAPSHOTS, SPLITS = "snapshots", "splits"

LEDGER_CHECKPOINTS = "ledger-checkpoints"
"""Of the whole store; those of trainings lie elsewhere."""

CERTIFICATES = "certificates"
TOMBSTONES = "tombstones"
FORGOTTEN = "forgotten"


def batch_key(batch: str) -> str:
    """Where a batch lies in the store."""
    return f"{BATCHES}/{batch}.json"


def wanted_folder(batch: str, model: str) -> str:
    """What all keys begin with under which records lie that a model is to forget."""
    return f"{BATCHES}/{batch}/{model}"


def wanted_key(batch: str, model: str, digest: str) -> str:
    """Where the records lie that a model is to forget."""
    return f"{wanted_folder(batch, model)}/{digest}.json"


def request_key(request: str) -> str:
    """The request object."""
    return f"{REQUESTS}/{request}.json"


def same_folder(digest: str) -> str:
    """The requests for the subject or the records of this digest."""
    return f"{SAME}/{digest}"


def event_folder(request: str) -> str:
    """The events of a request."""
    return f"{LEDGER}/{request}"


def event_key(request: str, sequence: int) -> str:
    """One event."""
    return f"{event_folder(request)}/{sequence:08}.json"


def seal_folder(request: str) -> str:
    """The seals of a request."""
    return f"{SEALS}/{request}"


def open_key(request: str) -> str:
    """The entry of a request that is not closed."""
    return f"{OPEN}/{request}"


def checkpoint_key(number: int) -> str:
    """A signed checkpoint of the whole store."""
    return f"{LEDGER_CHECKPOINTS}/{number:08}.txt"


def names_in(store: Store, folder: str) -> Iterator[str]:
    """The keys in a folder, without the folder's name."""
    return (key.removeprefix(f"{folder}/") for key in store.list(folder))


def snapshot_key(digest: str) -> str:
    """Where a snapshot lies in the store."""
    return f"{SNAPSHOTS}/{digest}"


def complete_key(digest: str) -> str:
    """The marker that says that a snapshot's files have all arrived: a folder is stored file by file."""
    return f"{snapshot_key(digest)}.complete"


def split_key(digest: str) -> str:
    """Where a split lies in the store. It holds record ids, so it stays out of MLflow."""
    return f"{SPLITS}/{digest}.json"


def certificate_key(request: str, number: int) -> str:
    """Where a certificate lies in the store; a request's newest has the highest number."""
    return f"{CERTIFICATES}/{request}/{number}.json"


def uncertified_key(request: str) -> str:
    """Why a fulfilled request has no certificate yet."""
    return f"uncertified/{request}"


def references_key(original: str) -> str:
    """Where an original's references lie in the store: beside its data, since they know the members as it does."""
    return f"references/{original}"


def qualification_folder(original: str) -> str:
    """What is known of how methods forgot simulated sets of an original's members."""
    return f"qualifications/{original}"


def qualification_key(original: str, method: str, settings: str, size: int) -> str:
    """How one method with one setting, given by its digest, forgot sets of one size."""
    return f"{qualification_folder(original)}/{method}-{settings[:16]}-{size:04}.json"


def promotion_lock(model_name: str) -> str:
    """The lock under which `champion` moves, and versions are withdrawn and condemned."""
    return f"locks/promote-{model_name}"


def tombstone_key(record: str, request: str) -> str:
    """That a record was erased for a request."""
    return f"{TOMBSTONES}/{record}/{request}"


def forgotten_key(model: str, version: str, record: str) -> str:
    """That a version of a model has forgotten a record."""
    return f"{FORGOTTEN}/{model}/{version}/{record}"


def certificate_folder(request: str) -> str:
    """The certificates of a request."""
    return f"{CERTIFICATES}/{request}"
