"""What several steps share: the records of a part, ready for a model, and where a training on them is saved."""

from __future__ import annotations

from pathlib import Path

import torch

from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import sha256_json
from unlearning.data import snapshots, splits
from unlearning.data.records import Records
from unlearning.data.snapshots import Manifest, Snapshot
from unlearning.data.splits import Split
from unlearning.learning.training import Checkpoint
from unlearning.steps.tombstones import refuse_erased


def load_split(snapshot_path: Path, split_path: Path) -> tuple[Snapshot, Split]:
    """A snapshot and its split.

    Raises:
        UserError: damaged, or the split divides another snapshot.
    """
    snapshot, split = snapshots.load(snapshot_path), splits.load(split_path)
    if split.snapshot != snapshot.manifest.digest:
        raise UserError(
            f"split {split_path} divides snapshot {split.snapshot[:12]}, not {snapshot.manifest.digest[:12]}: "
            "give the snapshot it was made from"
        )
    return snapshot, split


def refuse_erased_in(manifest: Manifest, instead: str = "ingest again, with erased=drop") -> None:
    """Nothing new is made from a snapshot with records that were erased since.

    Args:
        instead: what to do then.

    Raises:
        UserError: there are such records.
    """
    refuse_erased(manifest.record_ids, f"snapshot {manifest.digest[:12]}", instead)


def part(snapshot: Snapshot, ids: tuple[str, ...], side: int, device: torch.device) -> Records:
    """Records by id, at the size the model sees, on the device it runs on."""
    return snapshot.rows(ids).resized(side).to(device)


def checkpoint_of(
    kind: str, fingerprint: object, split: Split, every: int, *, name: str = "state", last: bool = False
) -> Checkpoint:
    """Where a training on a split is saved while it lasts: in a folder of its own, which says what it is trained on.

    Args:
        kind: what is trained; the folder's name begins with it.
        fingerprint: all that the training depends on.
        every, last: see `Checkpoint`.
        name: the file's.
    """
    folder = settings.from_environment().checkpoints / f"{kind}-{sha256_json(fingerprint)[:16]}"
    data = {"snapshot": split.snapshot, "split": split.digest}
    return Checkpoint(folder / f"{name}.safetensors", fingerprint, every, data, last=last)
