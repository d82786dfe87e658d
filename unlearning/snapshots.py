"""Snapshots: immutable, content-addressed datasets on disk.

A snapshot is a folder with `records.safetensors` (`images` (N, C, H, W) uint8, `labels` (N,)
int64) and `manifest.json` (record ids in the same order, source, licence, class names, digest).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unlearning.config import Config
from unlearning.errors import UserError
from unlearning.files import new_folder, read_json, sha256_json, write_json
from unlearning.records import Records, record_ids

RECORDS_FILE = "records.safetensors"
MANIFEST_FILE = "manifest.json"


class Manifest(Config):
    """What a snapshot holds, without the pixels."""

    source: str
    licence: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    record_ids: tuple[str, ...]
    duplicates: int
    """Rows dropped at ingest because an earlier row had the same pixels."""
    digest: str


@dataclass(frozen=True)
class Snapshot:
    """A loaded snapshot: its records on the CPU and its manifest."""

    records: Records
    manifest: Manifest

    def rows(self, ids: tuple[str, ...]) -> Records:
        """The records with these ids, in this order.

        Raises:
            UserError: an id is not in the snapshot.
        """
        row_of = {identity: row for row, identity in enumerate(self.manifest.record_ids)}
        missing = [identity for identity in ids if identity not in row_of]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(ids)} record ids are not in snapshot "
                f"{self.manifest.digest[:12]}, the first is {missing[0]!r}: check the ids"
            )
        return self.records[torch.tensor([row_of[identity] for identity in ids], dtype=torch.int64)]


def _digest(ids: tuple[str, ...], labels: Tensor, class_names: tuple[str, ...]) -> str:
    return sha256_json({"records": list(ids), "labels": labels.tolist(), "classes": list(class_names)})


def build(records: Records, *, source: str, licence: str, class_names: tuple[str, ...]) -> Snapshot:
    """A snapshot of `records`, with every repeated image kept once, at its first appearance.

    Two rows with the same pixels are the same record; training on both while forgetting one would
    leave it learned. The label of the first appearance counts.
    """
    ids = record_ids(records.images)
    first: dict[str, int] = {}
    for row, identity in enumerate(ids):
        first.setdefault(identity, row)
    kept = records[torch.tensor(list(first.values()), dtype=torch.int64)]
    digest = _digest(tuple(first), kept.labels, class_names)
    channels, height, width = kept.images.shape[1:]
    manifest = Manifest(
        source=source,
        licence=licence,
        class_names=class_names,
        image_shape=(channels, height, width),
        record_ids=tuple(first),
        duplicates=len(ids) - len(first),
        digest=digest,
    )
    return Snapshot(kept, manifest)


def save(snapshot: Snapshot, path: Path) -> None:
    """Write the snapshot's folder in one step."""
    with new_folder(path) as folder:
        tensors = {
            "images": snapshot.records.images.contiguous(),
            "labels": snapshot.records.labels.contiguous(),
        }
        save_file(tensors, str(folder / RECORDS_FILE))
        write_json(folder / MANIFEST_FILE, snapshot.manifest.model_dump(mode="json"))


def load(path: Path) -> Snapshot:
    """Read a snapshot and check that records and manifest belong together.

    Raises:
        UserError: missing, truncated, or not what the manifest says.
    """
    try:
        manifest = Manifest.model_validate(read_json(path / MANIFEST_FILE, "snapshot manifest"))
        tensors = load_file(str(path / RECORDS_FILE))
        records = Records(tensors["images"], tensors["labels"])
    except (ValidationError, SafetensorError, KeyError, AssertionError, OSError) as error:
        raise UserError(f"snapshot {path} is damaged or not a snapshot: {type(error).__name__}") from None
    if len(records) != len(manifest.record_ids):
        raise UserError(
            f"snapshot {path} holds {len(records)} records but its manifest lists "
            f"{len(manifest.record_ids)}: ingest it again"
        )
    return Snapshot(records, manifest)


def verify(snapshot: Snapshot) -> None:
    """Hash every image and the labels again.

    Raises:
        UserError: the pixels or the labels are not those the manifest names.
    """
    manifest = snapshot.manifest
    if tuple(record_ids(snapshot.records.images)) != manifest.record_ids:
        raise UserError(f"snapshot {manifest.digest[:12]} does not hold the images its manifest names: ingest it again")
    if _digest(manifest.record_ids, snapshot.records.labels, manifest.class_names) != manifest.digest:
        raise UserError(f"snapshot {manifest.digest[:12]} does not hold the labels its digest names: ingest it again")


def copy(source: Path, target: Path) -> None:
    """Copy a snapshot's folder in one step."""
    with new_folder(target) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
