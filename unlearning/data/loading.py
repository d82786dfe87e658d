"""A snapshot with its split, and the records of a part, ready for a model."""

from __future__ import annotations

from pathlib import Path

import torch

from unlearning.core.errors import UserError
from unlearning.data import snapshots, splits
from unlearning.data.records import Records
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split


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


def part(snapshot: Snapshot, ids: tuple[str, ...], side: int, device: torch.device) -> Records:
    """Records by id, at the size the model sees, on the device it runs on."""
    return snapshot.rows(ids).resized(side).to(device)
