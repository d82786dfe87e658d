"""What a version was made to forget before: by itself and by all that it descends from."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import Field, ValidationError

from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import new_folder, read_json, write_json
from unlearning.data import snapshots
from unlearning.data.snapshots import Snapshot

PAST_FILE = "forgotten-before.json"
"""Beside the snapshot that still holds them, if any does: a purge finds the folder by that."""


class PastForgetSets(Config):
    """The records of all forget sets of a line of versions, together."""

    split: str
    """Digest of the split that the newest version stands for; none of them is a member in it."""
    ids: tuple[str, ...]
    """Those whose images are kept."""
    gone: int | None = Field(ge=0)
    """How many more there were; None where nobody knows."""


def save(past: PastForgetSets, snapshot: Path | None, path: Path) -> None:
    """Write them as a new folder.

    Args:
        snapshot: folder of a snapshot that holds them, which is copied as it is; None where there are none.
    """
    with new_folder(path) as folder:
        if snapshot is not None:
            shutil.copytree(snapshot, folder, dirs_exist_ok=True)
        write_json(folder / PAST_FILE, past.model_dump(mode="json"))


def load(path: Path) -> tuple[PastForgetSets, Snapshot | None]:
    """Read them, and the snapshot that holds them where there are any.

    Raises:
        UserError: missing or damaged.
    """
    try:
        past = PastForgetSets.model_validate(read_json(path / PAST_FILE, "records that were forgotten before"))
    except ValidationError as error:
        raise UserError(
            f"records that were forgotten before, {path}: {error.errors()[0]['msg']}: resolve the version again"
        ) from None
    return past, snapshots.load(path) if past.ids else None
