"""Snapshots: immutable, content-addressed datasets on disk.

A snapshot is a folder with `records.safetensors` (`images` (N, C, H, W) uint8, `labels` (N,)
int64) and `manifest.json` (record ids in the same order, source, licence, class names, the persons
that records belong to where they are known, digest).
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, ValidationError, model_validator
from safetensors import SafetensorError

from unlearning.core import lazy
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import new_folder, read_json, sha256_json, write_json
from unlearning.data.records import Records, other_id, picture_ids, record_id, record_ids

if TYPE_CHECKING:
    import torch
    from safetensors import torch as safetensors
    from torch import Tensor
else:
    torch, safetensors = lazy.module("torch"), lazy.module("safetensors.torch")

Ids = Literal["stored", "picture"]
"""What record ids are of: the `picture`, which is the same whether a grey one has one channel or three equal ones; or,
in snapshots from before that, the pixels as `stored`."""

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
    ids: Ids = "stored"
    subjects: dict[str, tuple[str, ...]] = Field({}, repr=False)
    """Persons by record id, sorted, for the records that belong to anybody; empty where nobody is known. They stay
    in the snapshot: no log, report or registry shows them."""

    @model_validator(mode="after")
    def _subjects_are_of_records(self) -> Self:
        if not self.subjects.keys() <= set(self.record_ids):
            raise ValueError("subjects are given for a record that is not in the snapshot")
        if not all(self.subjects.values()):
            raise ValueError("a record's list of subjects is empty")
        return self


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


Subjects = Mapping[str, Iterable[str]]
"""Persons by record id; a record may belong to several."""


def _digest(
    ids: tuple[str, ...],
    records: Records,
    class_names: tuple[str, ...],
    subjects: Mapping[str, tuple[str, ...]],
    kind: Ids,
) -> str:
    content: dict[str, object] = {"records": list(ids), "labels": records.labels.tolist(), "classes": list(class_names)}
    if subjects:  # without any, the digest is that of snapshots from before there were subjects
        content["subjects"] = {identity: list(persons) for identity, persons in subjects.items()}
    if kind == "picture" and _grey_in_colour(records.images):  # the ids do not tell it from the same in one channel
        content["channels"] = 3
    return sha256_json(content)


def _grey_in_colour(images: Tensor) -> bool:
    return images.shape[1] == 3 and bool((images[:, :1] == images[:, 1:]).all())


def build(
    records: Records,
    *,
    source: str,
    licence: str,
    class_names: tuple[str, ...],
    subjects: Subjects | None = None,
) -> Snapshot:
    """A snapshot of `records`, with every repeated image kept once, at its first appearance.

    Two rows with the same pixels are the same record; training on both while forgetting one would
    leave it learned. The label of the first appearance counts. Who uploaded the same image is
    everybody's subject: forgetting the record for one forgets it for all.

    Args:
        subjects: persons by record id. Those of records that are not here are left out.
    """
    ids = record_ids(records.images)
    first: dict[str, int] = {}
    for row, identity in enumerate(ids):
        first.setdefault(identity, row)
    kept = records[torch.tensor(list(first.values()), dtype=torch.int64)]
    channels, height, width = kept.images.shape[1:]
    persons = {identity: tuple(sorted(set(each))) for identity, each in (subjects or {}).items() if identity in first}
    manifest = Manifest(
        source=source,
        licence=licence,
        class_names=class_names,
        image_shape=(channels, height, width),
        record_ids=tuple(first),
        duplicates=len(ids) - len(first),
        digest=_digest(tuple(first), kept, class_names, persons, "picture"),
        ids="picture",
        subjects=persons,
    )
    return Snapshot(kept, manifest)


def without(snapshot: Snapshot, ids: Collection[str]) -> Snapshot:
    """The snapshot as it would be had the records `ids` never been in it; ids that are not in it change nothing.

    Order, labels and everything that is told of the other records stay, and the digest follows.
    """
    gone, manifest = frozenset(ids), snapshot.manifest
    rows = [row for row, identity in enumerate(manifest.record_ids) if identity not in gone]
    kept = snapshot.records[torch.tensor(rows, dtype=torch.int64)]
    left = tuple(manifest.record_ids[row] for row in rows)
    subjects = {identity: each for identity, each in manifest.subjects.items() if identity not in gone}
    digest = _digest(left, kept, manifest.class_names, subjects, manifest.ids)
    told = {"record_ids": left, "subjects": subjects, "digest": digest}
    return Snapshot(kept, manifest.model_copy(update=told))


def save(snapshot: Snapshot, path: Path) -> None:
    """Write the snapshot's folder in one step."""
    with new_folder(path) as folder:
        tensors = {
            "images": snapshot.records.images.contiguous(),
            "labels": snapshot.records.labels.contiguous(),
        }
        safetensors.save_file(tensors, str(folder / RECORDS_FILE))
        write_json(folder / MANIFEST_FILE, snapshot.manifest.model_dump(mode="json"))


def load(path: Path) -> Snapshot:
    """Read a snapshot and check that records and manifest belong together.

    Raises:
        UserError: missing, truncated, or not what the manifest says.
    """
    try:
        manifest = Manifest.model_validate(read_json(path / MANIFEST_FILE, "snapshot manifest"))
        tensors = safetensors.load_file(str(path / RECORDS_FILE))
        records = Records(tensors["images"], tensors["labels"])
    except (ValidationError, SafetensorError, KeyError, AssertionError, OSError) as error:
        raise UserError(f"snapshot {path} is damaged or not a snapshot: {type(error).__name__}") from None
    if len(records) != len(manifest.record_ids):
        raise UserError(
            f"snapshot {path} holds {len(records)} records but its manifest lists "
            f"{len(manifest.record_ids)}: ingest it again"
        )
    return Snapshot(records, manifest)


def pictures(snapshot: Snapshot) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every record's id in the snapshot, with all ids that stand for its picture; see `records.picture_ids`."""
    for identity, image in zip(snapshot.manifest.record_ids, snapshot.records.images.numpy(), strict=True):
        yield identity, picture_ids(image)


def verify(snapshot: Snapshot) -> None:
    """Hash every image, the labels and the subjects again.

    Raises:
        UserError: the pixels, the labels or the subjects are not those the manifest names.
    """
    manifest = snapshot.manifest
    images = snapshot.records.images.numpy()
    # Grey pictures in three channels had another id before the two counted as one.
    if not all(
        identity == record_id(image) or identity == other_id(image)
        for identity, image in zip(manifest.record_ids, images, strict=True)
    ):
        raise UserError(f"snapshot {manifest.digest[:12]} does not hold the images its manifest names: ingest it again")
    found = _digest(manifest.record_ids, snapshot.records, manifest.class_names, manifest.subjects, manifest.ids)
    if found != manifest.digest:
        raise UserError(
            f"snapshot {manifest.digest[:12]} does not hold the labels and subjects its digest names: ingest it again"
        )


def copy(source: Path, target: Path) -> None:
    """Copy a snapshot's folder in one step."""
    with new_folder(target) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
