"""The pictures of the store's snapshots, and every id that stands for one; see `records.picture_ids`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache, lru_cache

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from unlearning.core.errors import DamagedSnapshotError, MissingKeyError
from unlearning.data.records import other_id, picture_ids, record_id
from unlearning.data.snapshots import RECORDS_FILE
from unlearning.storage.datasets import load_manifest
from unlearning.storage.keys import SNAPSHOTS, snapshot_key
from unlearning.storage.store import Store


def snapshot_digests(store: Store) -> list[str]:
    """Of every snapshot in the store, whole or not, sorted."""
    return sorted({key.split("/")[1] for key in store.list(SNAPSHOTS) if key.count("/") > 1})


def load_images(store: Store, digest: str) -> Tensor:
    """The (N, C, H, W) uint8 images of a snapshot in the store, on the CPU.

    Raises:
        MissingKeyError: there is none, or not in full.
        DamagedSnapshotError: they cannot be read.
    """
    key = f"{snapshot_key(digest)}/{RECORDS_FILE}"
    try:
        return load(store.read(key))["images"]
    except (SafetensorError, KeyError):
        raise DamagedSnapshotError(f"snapshot {digest[:12]}: {key} is damaged: put it back") from None


def other_ids(store: Store, digest: str) -> dict[str, str]:
    """Of the grey pictures of a snapshot both ids, each by the other one. Reads all pixels.

    Raises:
        MissingKeyError: there is no such snapshot, or not in full.
        DamagedSnapshotError: it cannot be read.
    """
    found: dict[str, str] = {}
    for image in load_images(store, digest).numpy():
        other = other_id(image)
        if other is not None:
            own = record_id(image)
            found |= {own: other, other: own}
    return found


class StoredPictures:
    """Looks pictures up by the ids of their records, for as long as the store's snapshots are those of now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._digests = cache(lambda: snapshot_digests(store))
        self._rows = cache(self._read_rows)
        self._images = lru_cache(maxsize=1)(self._read_images)

    def ids(self, asked: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
        """By request every id of the pictures of its records.

        Those whose pixels no snapshot has any more, or none that can be read, keep the one id. Asked for all requests
        at once, each snapshot's pixels are read once.
        """
        found = self._ids({record for records in asked.values() for record in records})
        return {
            request: frozenset[str]().union(*(found[each] for each in records)) for request, records in asked.items()
        }

    def _ids(self, records: Collection[str]) -> dict[str, frozenset[str]]:
        found, missing = {each: frozenset({each}) for each in records}, set(records)
        for digest in self._digests():
            if not missing:
                break
            rows = self._rows(digest)
            here = missing & rows.keys()
            images = self._images(digest) if here else None
            if images is None or len(images) != len(rows):
                continue
            for each in here:
                found[each] = found[each].union(picture_ids(images[rows[each]].numpy()))
            missing -= here
        return found

    def _read_rows(self, digest: str) -> dict[str, int]:
        try:
            return {each: row for row, each in enumerate(load_manifest(self._store, digest).record_ids)}
        except (MissingKeyError, DamagedSnapshotError):
            return {}

    def _read_images(self, digest: str) -> Tensor | None:
        try:
            return load_images(self._store, digest)
        except (MissingKeyError, DamagedSnapshotError):
            return None
