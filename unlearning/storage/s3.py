"""Objects in S3; the only user of boto3."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error, S3UploadFailedError
from boto3.session import Session
from botocore import exceptions as failures
from botocore.config import Config
from botocore.exceptions import ClientError

from unlearning.core.errors import MissingKeyError, UserError
from unlearning.storage import s3_transfer, s3_versions
from unlearning.storage.store import Amount, Keys, _check_file, _new_folder_for, _put_folder, check_key, is_litter

CONFLICT_ATTEMPTS = 5

CONFLICT_SECONDS = 0.1


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
                    if key and not key.endswith("/") and not is_litter(key):
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

    def tidy(self, before: float, *, only_count: bool = False) -> int:
        with self._explained(self.prefix):
            uploads = s3_versions.unfinished_uploads(self._client, self.bucket, self.prefix, before)
            return len(uploads) if only_count else s3_versions.abort_uploads(self._client, self.bucket, uploads)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def _name(self, key: str) -> str:
        return self.prefix + check_key(key)

    @cached_property
    def _client(self) -> Any:
        # Imported here: local use should not pay for boto3. A session of its own, as the shared one
        # is not safe to make clients from in several threads.

        config = Config(connect_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
        try:
            return Session().client("s3", endpoint_url=self.endpoint, config=config)
        except ValueError as error:
            raise UserError(f"store {self}: {_first_line(error)}; check AWS_ENDPOINT_URL") from error

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:

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
