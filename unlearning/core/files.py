"""Writing so that nothing half-written is ever left behind, and digests of what was written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unlearning.core.errors import UserError

STAGED = re.compile(r"\..+\.unlearning-[a-z0-9_]{8}")
"""Names under which is written what is not finished: nothing else may be taken for it."""
_NOT_UNICODE = "is not valid Unicode: rename the file or folder, or correct the setting, that it comes from"


def sha256_file(path: Path) -> str:
    """SHA-256 of one file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """One spelling per value: sorted keys, no spaces. What digests are taken over.

    Raises:
        UserError: a text in it is not valid Unicode.
    """
    return _readable(
        json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False), value, "what is written"
    )


def sha256_json(value: Any) -> str:
    """SHA-256 of a JSON value's canonical spelling; see `canonical_json`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


MODE = 0o640
"""Of files that this product writes: what they say may be about people, and is not for everybody on the machine."""


def write_text(path: Path, text: str) -> None:
    """Replace `path` with `text` in one step; see `write_bytes`.

    Raises:
        UserError: it is not valid Unicode, or the folder cannot be written to.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{path.name}: {error.object[error.start : error.end]!a} {_NOT_UNICODE}") from None
    write_bytes(path, data)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` with `data` in one step, so that a run that is cut off leaves no damaged file.

    Raises:
        UserError: the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.unlearning-")
        try:
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(data)
            os.chmod(name, MODE)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


def write_json(path: Path, value: Any) -> None:
    """Replace `path` with indented JSON in one step.

    Raises:
        UserError: a text in it is not valid Unicode, or the folder cannot be written to.
    """
    write_text(path, _readable(json.dumps(value, indent=2, sort_keys=True, allow_nan=False), value, path.name) + "\n")


def read_json(path: Path, what: str) -> Any:
    """The JSON in `path`.

    Raises:
        UserError: the file is missing or is not JSON; `what` names it for the reader.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{what}: {path} does not exist") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{what}: {path} cannot be read as JSON ({error})") from None


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block ends well, and vanishes when it does not.

    An existing `path` is replaced, since a retried task finds its own earlier output there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.unlearning-"))
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield staging
        staging.chmod(0o755)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        staging.rename(path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _readable(text: str, value: Any, what: str) -> str:
    """The JSON `text` of a value, if every reader can read it: half of a surrogate pair can be spelled, not read."""
    if "\\ud" in text:
        place = _not_unicode(value)
        if place is not None:
            raise UserError(f"{what}: text{place and f' in {place}'} {_NOT_UNICODE}")
    return text


def _not_unicode(value: Any) -> str | None:
    """Where a text is not valid Unicode, by the outermost key; None where all is well."""
    if isinstance(value, dict):
        return next((str(key) for key, each in value.items() if _not_unicode([key, each]) is not None), None)
    if isinstance(value, list | tuple):
        return next(("" for each in value if _not_unicode(each) is not None), None)
    return None if not isinstance(value, str) or is_unicode(value) else ""


def is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: names of files whose bytes are none cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write {path}: {error.strerror}; choose a folder you may write to")
