"""Objects by key in a local folder or in S3, behind one small interface; the only user of boto3.

Keys are paths with `/`; a key is never the folder of another one too. A prefix is a folder:
`list("a")` gives `a/b` and never `ab`. Reading after writing gives what was written, and `create`
is atomic: locks and the ledger are built on that.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol, TypeAlias
from urllib.parse import unquote, urlsplit

from unlearning.core.errors import UserError
from unlearning.core.files import new_folder
from unlearning.storage import s3_transfer, s3_versions

# Inside the classes below `list` is the method, so annotations need another name.
Keys: TypeAlias = list[str]
Paths: TypeAlias = list[Path]

STAGING = ".staging"
"""Where the local store writes before publishing; no key may begin with it."""

CONFLICT_ATTEMPTS = 5
CONFLICT_SECONDS = 0.1
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class MissingKeyError(UserError):
    """There is no object with this key."""


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

    def tidy(self, before: float) -> int:
        """Remove what writers left unfinished that began before `before`, in seconds since 1970.

        Returns:
            How many unfinished objects were removed.
        """


def open_store(uri: str) -> Store:
    """The store at `s3://bucket/prefix`, `file:///folder` or a plain path.

    S3's endpoint, region and credentials come from where boto3 looks for them (AWS_ENDPOINT_URL and
    the like, or the instance), never from the address.

    Raises:
        UserError: not an address of a store.
    """
    if "://" not in uri:
        if not uri:
            raise UserError("the store's address is empty: give a folder or s3://bucket/prefix")
        return LocalStore(Path(uri))
    parts = urlsplit(uri)
    if "@" in parts.netloc:
        raise UserError("the store's address holds credentials: remove them and set them in the environment")
    if parts.query or parts.fragment:
        raise UserError(f"store {uri!r}: nothing may follow the path; endpoint and region go into the environment")
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and BUCKET.fullmatch(parts.netloc):
        return S3Store(parts.netloc, parts.path.strip("/"))
    raise UserError(f"store {uri!r} is not an address of a store: give a folder, file:///folder or s3://bucket/prefix")


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
            yield from _files_below(top, f"{prefix}/" if prefix else "")

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

    def tidy(self, before: float) -> int:
        with self._explained(STAGING):
            staging = self.root / STAGING
            stale = [path for path in staging.glob("*") if path.lstat().st_mtime < before]
            for path in stale:
                path.unlink(missing_ok=True)
        return len(stale)

    def _files(self, prefix: str) -> Paths:
        """The object `prefix` and all under it; a link counts as a file and is not followed."""
        top = self._path(prefix)
        if not top.is_dir() or top.is_symlink():
            return [top] if os.path.lexists(top) else []
        found = []
        for folder, folders, names in os.walk(top, onerror=_raise_unless_missing):
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
        os.fchmod(descriptor, 0o644)
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


class S3Store:
    """A prefix of a bucket in S3 or anything that speaks it and honours conditional writes."""

    def __init__(self, bucket: str, prefix: str, endpoint: str | None = None) -> None:
        self.bucket = bucket
        self.prefix = f"{check_key(prefix)}/" if prefix else ""
        self.endpoint = endpoint

    def put_file(self, key: str, path: Path) -> None:
        _check_file(key, path)
        name = self._name(key)
        with self._explained(key):
            s3_transfer.upload(self._client, self.bucket, name, path)

    def put_folder(self, prefix: str, folder: Path) -> None:
        _put_folder(self, prefix, folder)

    def get_folder(self, prefix: str, folder: Path) -> None:
        with _new_folder_for(self, prefix, folder) as copies:
            for key, path in copies:
                with self._explained(key):
                    s3_transfer.download(self._client, self.bucket, self._name(key), path)

    def read(self, key: str) -> bytes:
        name = self._name(key)
        with self._explained(key):
            content: bytes = self._client.get_object(Bucket=self.bucket, Key=name)["Body"].read()
            return content

    def create(self, key: str, data: bytes) -> bool:
        from botocore.exceptions import ClientError

        name = self._name(key)
        for attempt in range(CONFLICT_ATTEMPTS):
            with self._explained(key):
                try:
                    self._client.put_object(Bucket=self.bucket, Key=name, Body=data, IfNoneMatch="*")
                except ClientError as error:
                    if _status(error) == 409:  # another conditional write is in flight: S3 asks to try again
                        time.sleep(CONFLICT_SECONDS * (attempt + 1))
                        continue
                    if _status(error) != 412:
                        raise
                    # boto3 repeats a request whose answer was lost; the first may have made the object.
                    repeated = error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
                    return repeated and self.read(key) == data
                return True
        raise UserError(f"store {self}: {key!r} is being written by others all the time: try again later")

    def exists(self, key: str) -> bool:
        # Not a HEAD request: that answers "not found" for a missing bucket too.
        name = self._name(key)
        with self._explained(key):
            page = self._client.list_objects_v2(Bucket=self.bucket, Prefix=name, MaxKeys=1)
        return any(entry["Key"] == name for entry in page.get("Contents", ()))

    def delete(self, key: str) -> None:
        name = self._name(key)
        with self._explained(key):
            self._client.delete_object(Bucket=self.bucket, Key=name)

    def list(self, prefix: str) -> Keys:
        return sorted(self.iterate(prefix))

    def iterate(self, prefix: str) -> Iterator[str]:
        start = f"{self._name(prefix)}/" if prefix else self.prefix
        with self._explained(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start):
                for entry in page.get("Contents", ()):
                    key: str = entry["Key"][len(self.prefix) :]
                    # Consoles make empty objects ending in "/" to show folders.
                    if key and not key.endswith("/"):
                        yield key

    def measure(self, prefix: str) -> Amount:
        name = self._name(prefix)
        with self._explained(prefix):
            sizes = [found.size for found in s3_versions.under(self._client, self.bucket, name) if not found.marker]
        return Amount(len(sizes), sum(sizes))

    def purge(self, prefix: str, last: str = "") -> int:
        name = self._name(prefix)
        with self._explained(prefix):
            return s3_versions.purge(self._client, self.bucket, name, f"{name}/{last}")

    def tidy(self, before: float) -> int:
        with self._explained(self.prefix):
            return s3_versions.abort_uploads(self._client, self.bucket, self.prefix, before)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def _name(self, key: str) -> str:
        return self.prefix + check_key(key)

    @cached_property
    def _client(self) -> Any:
        # Imported here: local use should not pay for boto3. A session of its own, as the shared one
        # is not safe to make clients from in several threads.
        from boto3.session import Session
        from botocore.config import Config

        config = Config(connect_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
        try:
            return Session().client("s3", endpoint_url=self.endpoint, config=config)
        except ValueError as error:
            raise UserError(f"store {self}: {_first_line(error)}; check AWS_ENDPOINT_URL") from error

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error, S3UploadFailedError
        from botocore import exceptions as failures

        try:
            yield
        except failures.ClientError as error:
            raise self._refused(key, error) from error
        except (failures.NoCredentialsError, failures.PartialCredentialsError) as error:
            raise UserError(
                f"store {self}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or use an instance role"
            ) from error
        except (failures.HTTPClientError, failures.ConnectionError) as error:
            raise UserError(
                f"store {self} cannot be reached: check the network and AWS_ENDPOINT_URL ({_first_line(error)})"
            ) from error
        except (failures.BotoCoreError, Boto3Error, OSError) as error:
            if isinstance(error, S3UploadFailedError) and isinstance(error.__context__, failures.ClientError):
                raise self._refused(key, error.__context__) from error
            raise UserError(f"store {self} cannot be used for {key!r} ({_first_line(error)})") from error

    def _refused(self, key: str, error: Any) -> UserError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code == "NoSuchBucket":
            return UserError(f"store {self}: bucket {self.bucket} does not exist: create it or correct the address")
        if code == "NoSuchKey" or _status(error) == 404:
            return MissingKeyError(f"store {self} has no {key!r}: check the key")
        if _status(error) in (401, 403):
            return UserError(f"store {self}: access to {key!r} is denied ({code}): check the credentials and policy")
        return UserError(f"store {self} refused {key!r} ({_first_line(error)})")


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check_file(key: str, path: Path) -> None:
    if not path.is_file():
        raise UserError(f"file {path} does not exist: nothing to put at {key!r}")


def _raise_unless_missing(error: OSError) -> None:
    """For os.walk, to which a folder that may not be read would otherwise look empty."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _files_below(folder: Path, key: str) -> Iterator[str]:
    """The keys of the files below a folder, whose own key is `key`, in the order of whole keys, as S3 gives them."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((f"{each.name}/" if each.is_dir() else each.name, each.is_symlink()) for each in entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name, is_link in found:
        if not name.endswith("/"):
            yield key + name
        elif not is_link and key + name != f"{STAGING}/":
            yield from _files_below(folder / name, key + name)


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
