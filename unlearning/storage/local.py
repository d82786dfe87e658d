"""Objects in a local folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unlearning.core.errors import MissingKeyError, UserError
from unlearning.core.files import MODE
from unlearning.storage.store import (
    STAGING,
    Amount,
    Keys,
    Paths,
    _check_file,
    _new_folder_for,
    _put_folder,
    check_key,
    is_litter,
)


class LocalStore:
    """A folder on this machine; safe for several processes on one file system."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_file(self, key: str, path: Path) -> None:
        _check_file(key, path)
        with self._explained(key), self._staged(key) as (staged, target):
            shutil.copyfile(path, staged)
            os.replace(staged, target)

    def put_folder(self, prefix: str, folder: Path) -> None:
        _put_folder(self, prefix, folder)

    def get_folder(self, prefix: str, folder: Path) -> None:
        with _new_folder_for(self, prefix, folder) as copies:
            for key, path in copies:
                with self._explained(key):
                    shutil.copyfile(self._path(key), path)

    def read(self, key: str) -> bytes:
        with self._explained(key):
            return self._path(key).read_bytes()

    def create(self, key: str, data: bytes) -> bool:
        if not data:
            return self._mark(key)
        with self._explained(key), self._staged(key) as (staged, target):
            with staged.open("wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            try:
                # A link, unlike a rename, refuses to replace; and it publishes a finished file.
                os.link(staged, target)
            except FileExistsError:
                return False
            return True

    def _mark(self, key: str) -> bool:
        """An object without content is whole at once, and has nothing that could be lost: to stage it and to wait for
        the disk would be most of the time that many requests take."""
        with self._explained(key):
            target = self._path(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE))
            except FileExistsError:
                return False
            return True

    def exists(self, key: str) -> bool:
        with self._explained(key):
            return self._path(key).is_file()

    def delete(self, key: str) -> None:
        if self.exists(key):
            with self._explained(key):
                self._path(key).unlink(missing_ok=True)

    def list(self, prefix: str) -> Keys:
        return sorted(self.iterate(prefix))

    def iterate(self, prefix: str) -> Iterator[str]:
        top = self._path(prefix) if prefix else self.root
        with self._explained(prefix):
            yield from files_below(top, f"{prefix}/" if prefix else "")

    def measure(self, prefix: str) -> Amount:
        with self._explained(prefix):
            sizes = [path.lstat().st_size for path in self._files(prefix)]
        return Amount(len(sizes), sum(sizes))

    def purge(self, prefix: str, last: str = "") -> int:
        with self._explained(prefix):
            top = self._path(prefix)
            files = sorted(self._files(prefix), key=lambda path: path == top / last)
            for path in files:
                path.unlink(missing_ok=True)
            for folder, _, _ in os.walk(top, topdown=False):
                with suppress(FileNotFoundError):
                    Path(folder).rmdir()
        return len(files)

    def tidy(self, before: float, *, only_count: bool = False) -> int:
        with self._explained(STAGING):
            staging = self.root / STAGING
            stale = [path for path in staging.glob("*") if path.lstat().st_mtime < before]
            for path in () if only_count else stale:
                path.unlink(missing_ok=True)
        return len(stale)

    def _files(self, prefix: str) -> Paths:
        """The object `prefix` and all under it; a link counts as a file and is not followed."""
        top = self._path(prefix)
        if not top.is_dir() or top.is_symlink():
            return [top] if os.path.lexists(top) else []
        found = []
        for folder, folders, names in os.walk(top, onerror=raise_unless_missing):
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            found += [Path(folder) / name for name in (*names, *links)]
        return found

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    @contextmanager
    def _staged(self, key: str) -> Iterator[tuple[Path, Path]]:
        """A path to write to, on the same file system as the object's own, which is the second."""
        target = self._path(key)
        staging = self.root / STAGING
        staging.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=staging)
        os.fchmod(descriptor, MODE)
        os.close(descriptor)
        try:
            yield Path(name), target
        finally:
            Path(name).unlink(missing_ok=True)

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise MissingKeyError(f"store {self.root} has no {key!r}: check the key") from None
        except OSError as error:
            raise UserError(
                f"store {self.root} cannot be used for {key!r} ({error.strerror}): check its permissions and space"
            ) from error


def raise_unless_missing(error: OSError) -> None:
    """For os.walk, to which a folder that may not be read would otherwise look empty."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def files_below(folder: Path, key: str) -> Iterator[str]:
    """The keys of the files below a folder, whose own key is `key`, in the order of whole keys, as S3 gives them."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((f"{each.name}/" if each.is_dir() else each.name, each.is_symlink()) for each in entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name, is_link in found:
        if not name.endswith("/"):
            if not is_litter(name):
                yield key + name
        elif not is_link and key + name != f"{STAGING}/":
            yield from files_below(folder / name, key + name)
