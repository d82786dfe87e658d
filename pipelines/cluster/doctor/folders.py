"""Whether the folders of this machine can be written to, and have room."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipelines.cluster.doctor.findings import Finding

ROOM = 5 * 1024**3
"""Bytes below which it is worth a warning: a dataset, checkpoints and a run or two."""


def folders(paths: Iterable[Path]) -> Iterator[Finding]:
    """Write a file where the folder is, or where its nearest existing parent is, since runs make what is missing."""
    for path in dict.fromkeys(paths):
        there = next(each for each in (path, *path.parents) if each.exists())
        try:
            with tempfile.TemporaryFile(dir=there):
                free = shutil.disk_usage(there).free
        except OSError as error:
            found = f"{path} cannot be written to ({error.strerror})"
            yield Finding(check="folders", state="failed", found=found, do="see UNLEARNING_HOME and its like")
            continue
        room = f"{free / 1024**3:.0f} GiB free"
        if free < ROOM:
            yield Finding(check="folders", state="warning", found=f"{path}: {room}", do="make room")
        else:
            yield Finding(check="folders", state="ok", found=f"{path}: {room}")
