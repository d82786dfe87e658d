"""Whether the folders of this machine can be written to, and have room."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipelines.cluster.doctor.findings import Finding

ROOM = 5 * 1024**3
"""Bytes below which it is worth a warning: a dataset, checkpoints and a run or two."""

FULL = 256 * 1024**2
"""Bytes below which it counts as full: a checkpoint and what is written beside it."""

PROBE = 1024**2
"""Bytes that are written: an empty file can be made where nothing more fits."""


def shown(size: int) -> str:
    """An amount as people read it, rounded down."""
    return f"{size // 1024**3} GiB" if size >= 1024**3 else f"{size // 1024**2} MiB"


def folders(paths: Iterable[Path]) -> Iterator[Finding]:
    """Write a file where the folder is, or where its nearest existing parent is, since runs make what is missing."""
    for path in dict.fromkeys(paths):
        there = next(each for each in (path, *path.parents) if each.exists())
        try:
            with tempfile.TemporaryFile(dir=there, buffering=0) as probe:
                probe.write(bytes(PROBE))
                free = shutil.disk_usage(there).free
        except OSError as error:
            found = f"{path} cannot be written to ({error.strerror})"
            yield Finding(check="folders", state="failed", found=found, do="see UNLEARNING_HOME and its like")
            continue
        found, do = f"{path}: {shown(free)} free", "make room"
        if free < FULL:
            yield Finding(check="folders", state="failed", found=found, do=do)
        elif free < ROOM:
            yield Finding(check="folders", state="warning", found=found, do=do)
        else:
            yield Finding(check="folders", state="ok", found=found)
