"""Snapshots and splits in the store: kept under their digests, fetched with a check, rewritten without records."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

from pydantic import ValidationError

from unlearning.core.errors import DamagedSnapshotError, DamagedSplitError, UserError
from unlearning.core.files import canonical_json
from unlearning.data import snapshots, splits
from unlearning.data.provenance import DataDigests
from unlearning.data.snapshots import Manifest, Snapshot
from unlearning.data.splits import Split
from unlearning.storage.keys import complete_key, snapshot_key, split_key
from unlearning.storage.store import Store


def keep_snapshot(store: Store, path: Path, digest: str) -> None:
    """Put a snapshot's folder into the store, unless it is there."""
    if not store.exists(complete_key(digest)):
        store.put_folder(snapshot_key(digest), path)
        store.create(complete_key(digest), digest.encode())


def keep_split(store: Store, split: Split) -> None:
    """Put a split into the store, unless it is there."""
    store.create(split_key(split.digest), canonical_json(split.model_dump(mode="json")).encode())


def fetch(store: Store, data: DataDigests, folder: Path) -> tuple[Path, Path]:
    """Bring a snapshot and its split, as `snapshot` and `split.json`, into a folder.

    Raises:
        UserError: missing, or not what their digests say.
    """
    snapshot, split = folder / "snapshot", folder / "split.json"
    _fetch(store, data, snapshot, split)
    return snapshot, split


def _fetch(store: Store, data: DataDigests, snapshot: Path, split: Path) -> tuple[Snapshot, Split]:
    store.get_folder(snapshot_key(data.snapshot), snapshot)
    split.write_bytes(store.read(split_key(data.split)))
    found, divided = snapshots.load(snapshot), splits.load(split)
    snapshots.verify(found)
    if found.manifest.digest != data.snapshot or divided.digest != data.split:
        raise UserError(f"snapshot {data.snapshot[:12]} or split {data.split[:12]} was changed in the store")
    return found, divided


def load_manifest(store: Store, digest: str) -> Manifest:
    """What a snapshot in the store holds, without its pixels.

    Raises:
        MissingKeyError: there is none, or not in full.
        DamagedSnapshotError: it cannot be read.
    """
    try:
        return Manifest.model_validate_json(store.read(f"{snapshot_key(digest)}/{snapshots.MANIFEST_FILE}"))
    except ValidationError:
        raise DamagedSnapshotError(
            f"snapshot {digest[:12]} in the store is damaged: put {snapshot_key(digest)} back, or delete it"
        ) from None


def load_split(store: Store, digest: str) -> Split:
    """A split from the store.

    Raises:
        MissingKeyError: there is none.
        DamagedSplitError: it is not what its digest says.
    """
    try:
        split = Split.model_validate_json(store.read(split_key(digest)))
    except ValidationError:
        raise DamagedSplitError(f"split {digest[:12]} in the store is damaged: put it back") from None
    if split.digest != digest:
        raise DamagedSplitError(f"split {digest[:12]} was changed in the store: put it back")
    return split


def load(store: Store, data: DataDigests) -> tuple[Snapshot, Split]:
    """A snapshot and its split from the store.

    Raises:
        UserError: missing, or not what their digests say.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return _fetch(store, data, Path(scratch) / "snapshot", Path(scratch) / "split.json")


def reduce(store: Store, data: DataDigests, ids: Collection[str]) -> DataDigests:
    """Keep a snapshot and a split as they are without some records, beside the ones they come from.

    Doing it twice gives the same. Where none of the records is there, nothing is written.

    Returns:
        What the version stands for from now on.
    """
    if frozenset(ids).isdisjoint(load_manifest(store, data.snapshot).record_ids):
        return data  # mostly so: pixels are fetched only where some of them have to go
    snapshot, split = load(store, data)
    left = snapshots.without(snapshot, ids)
    divided = splits.without(split, ids, left.manifest.digest)
    with tempfile.TemporaryDirectory() as scratch:
        snapshots.save(left, Path(scratch) / "snapshot")
        keep_snapshot(store, Path(scratch) / "snapshot", left.manifest.digest)
    keep_split(store, divided)
    return DataDigests(snapshot=left.manifest.digest, split=divided.digest)
