"""Objects by key in a local folder or in S3, behind one small interface; the only user of boto3.

Keys are paths with `/`; a key is never the folder of another one too. A prefix is a folder:
`list("a")` gives `a/b` and never `ab`. Reading after writing gives what was written, and `create`
is atomic: locks and the ledger are built on that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol, TypeAlias

from unlearning.core.errors import MissingKeyError, UserError
from unlearning.core.files import new_folder

# Inside the classes below `list` is the method, so annotations need another name.
Keys: TypeAlias = list[str]
Paths: TypeAlias = list[Path]

STAGING = ".staging"
"""Where the local store writes before publishing; no key may begin with it."""


class Amount(NamedTuple):
    """How much is stored."""

    objects: int
    """Every version of an object counts, those that were replaced or deleted before too."""
    bytes: int


class Store(Protocol):
    """What the pipeline needs of a place to keep things. Every failure is a UserError."""

    def put_file(self, key: str, path: Path) -> None:
        """Write the object, replacing what was there, in one step."""

    def put_folder(self, prefix: str, folder: Path) -> None:
        """Make the objects under `prefix` exactly the folder's files.

        Each file is replaced in one step, the folder as a whole is not: write what makes others
        look at it afterwards.
        """

    def get_folder(self, prefix: str, folder: Path) -> None:
        """Make `folder` exactly the objects under `prefix`; on failure it stays as it was."""

    def read(self, key: str) -> bytes:
        """The object's content."""

    def create(self, key: str, data: bytes) -> bool:
        """True when this call made the object, False when it was there already. Of many, one wins.

        When an answer from the network was lost, the content tells whether it was this call's
        object, so contenders should write different bytes.
        """

    def exists(self, key: str) -> bool:
        """Whether there is an object with this key."""

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens when there is none."""

    def list(self, prefix: str) -> Keys:
        """The keys under a prefix, sorted; all keys for the empty prefix."""

    def iterate(self, prefix: str) -> Iterator[str]:
        """The same one by one, for prefixes that hold more than fits in memory."""

    def measure(self, prefix: str) -> Amount:
        """What `purge` would remove."""

    def purge(self, prefix: str, last: str = "") -> int:
        """Really delete the object `prefix` and all objects under it, with every version a bucket keeps of them.

        `delete` is for what may come back; in a bucket with versioning it only hides the object. Repeat
        it when it was cut off.

        Args:
            prefix: a key or a folder; never the whole store.
            last: the object under `prefix` that goes after all others, by which what is left can be
                recognised when this is cut off.

        Returns:
            How many objects were removed, every version counted.
        """

    def tidy(self, before: float, *, only_count: bool = False) -> int:
        """Remove what writers left unfinished that began before `before`, in seconds since 1970.

        Args:
            only_count: change nothing.

        Returns:
            How many unfinished objects there were.
        """


LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


def is_litter(key: str) -> bool:
    """Whether it is what a file manager leaves in every folder that somebody opens: nobody's object, never listed."""
    name = key.rpartition("/")[2]
    return name in LITTER or name.startswith("._")


def check_key(key: str) -> str:
    """The key itself, when it is the same safe path in every kind of store.

    Raises:
        UserError: absolute, leaves the store, or cannot be a file's path.
    """
    segments = key.split("/")
    if any(segment in ("", ".", "..") for segment in segments) or segments[0] == STAGING:
        raise UserError(f"store key {key!r} is not allowed: use a relative path without '.' or '..'")
    if "\\" in key or not key.isprintable():
        raise UserError(f"store key {key!r} is not allowed: no backslashes or control characters")
    return key


def _check_file(key: str, path: Path) -> None:
    if not path.is_file():
        raise UserError(f"file {path} does not exist: nothing to put at {key!r}")


def _put_folder(store: Store, prefix: str, folder: Path) -> None:
    check_key(prefix)  # also: never the whole store, whose other objects would be deleted
    files = {f"{prefix}/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*") if path.is_file()}
    if not files:
        raise UserError(f"folder {folder} holds no files: nothing to put at {prefix!r}")
    stale = set(store.list(prefix)) - set(files)
    for key, path in files.items():
        store.put_file(key, path)
    for key in stale:
        store.delete(key)


@contextmanager
def _new_folder_for(store: Store, prefix: str, folder: Path) -> Iterator[list[tuple[str, Path]]]:
    """Every key under the prefix and where to copy it to; `folder` appears when all have arrived."""
    keys = store.list(prefix)
    if not keys:
        raise MissingKeyError(f"the store has nothing under {prefix!r}: check the key")
    with new_folder(folder) as staging:
        copies = []
        for key in keys:
            # Others may write to a bucket: a key like "a/../../b" must not leave the folder.
            path = staging / PurePosixPath(check_key(key)).relative_to(prefix or ".")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"cannot make a folder for {key!r} in {folder} ({error.strerror})") from error
            copies.append((key, path))
        yield copies


def create_idempotent(store: Store, key: str, data: bytes) -> bool:
    """As `store.create`, but when no answer arrives, look whether the object is this call's.

    Contenders must write different bytes, except where it does not matter whose object it is.

    Raises:
        UserError: it cannot be known; at most, the object was made.
    """
    try:
        return store.create(key, data)
    except UserError as lost:
        try:
            return store.read(key) == data
        except MissingKeyError:
            raise lost from None
