"""The pictures of the store's snapshots, and every id that stands for one; see `records.picture_ids`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from unlearning.core import lazy
from unlearning.core.errors import DamagedSnapshotError, MissingKeyError
from unlearning.data.records import other_id, picture_ids, record_id
from unlearning.data.snapshots import RECORDS_FILE
from unlearning.storage.datasets import load_manifest
from unlearning.storage.keys import SNAPSHOTS, snapshot_key
from unlearning.storage.store import Store

if TYPE_CHECKING:
    from safetensors import torch as safetensors
    from torch import Tensor
else:
    safetensors = lazy.module("safetensors.torch")


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
        return safetensors.load(store.read(key))["images"]
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


def ids_of_pictures(store: Store, asked: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
    """By request every id of the pictures of its records.

    Those whose pixels no snapshot has, or none that can be read, keep the one id. Asked for all requests at once, each
    snapshot's pixels are read once.
    """
    found = {each: frozenset({each}) for records in asked.values() for each in records}
    missing = set(found)
    for digest in snapshot_digests(store):
        if not missing:
            break
        try:
            rows = {each: row for row, each in enumerate(load_manifest(store, digest).record_ids)}
            here = missing & rows.keys()
            images = load_images(store, digest) if here else None
        except (MissingKeyError, DamagedSnapshotError):
            continue
        if images is None or len(images) != len(rows):
            continue
        for each in here:
            found[each] = found[each].union(picture_ids(images[rows[each]].numpy()))
        missing -= here
    return {request: frozenset[str]().union(*(found[each] for each in records)) for request, records in asked.items()}
