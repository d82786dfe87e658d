"""What a data source gives, and what fetching files has in common."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unlearning.core.errors import UserError
from unlearning.data.records import Records

NETWORK_TIMEOUT = 10.0
"""Seconds one network operation may stall, so that a machine without internet does not hang."""


class UnavailableError(Exception):
    """One way of getting the data did not work; the message says why in a few words."""


@dataclass(frozen=True)
class SourceData:
    """Everything a source holds, before sampling and before duplicates are dropped."""

    records: Records
    source: str
    licence: str
    class_names: tuple[str, ...]
    files: tuple[str, ...] | None = None
    """Path of every row below the source's folder, with `/`; None where records are no files of their own."""


def md5(data: bytes) -> str:
    """MD5 in hexadecimal: how these data sets' publishers identify their files."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def md5_file(path: Path) -> str:
    """MD5 of one file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def scratch_inside(folder: Path) -> Iterator[Path]:
    """A temporary folder inside `folder` (made if missing), so that moving files out of it is one step.

    Raises:
        UserError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder, prefix=".fetch.", ignore_cleanup_errors=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    with scratch as name:
        yield Path(name)


def one_line(error: BaseException, limit: int = 160) -> str:
    """The error's text on one line, short enough to be part of a message."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write {path}: {error.strerror}; choose a folder you may write to")
