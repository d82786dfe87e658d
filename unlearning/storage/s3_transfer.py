"""Files to S3 and back, for `store`, which has the client: checked, and in parts that go on where they were cut off.

An object's metadata says the SHA-256 of its content (`sha256`); S3's own checksum of what came in parts is one over
the parts' checksums, which whoever reads the file cannot compare. Every part is sent with its SHA-256 too, so that S3
refuses what was damaged on its way.

boto3's `upload_file` cannot stand in for this: it aborts an upload that fails, so that none goes on where it was cut
off, and it sends what is there already again. Nor has S3 a SHA-256 over the whole of what came in parts, only of parts.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearning.core.files import sha256_file

PART = 16 * 1024**2
"""Bytes of a part, unless that makes more parts than S3 takes. A file that is no larger goes in one piece."""
MOST_PARTS = 10_000
WORKERS = 4
"""Parts on their way at the same time; each is in memory."""
METADATA = "sha256"


class DamagedError(OSError):
    """What arrived is not what was sent."""


@dataclass(frozen=True)
class Part:
    """A piece of a file; parts are counted from 1."""

    path: Path
    number: int
    start: int
    size: int

    def read(self) -> bytes:
        """Its bytes."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(self.size)


def parts_of(path: Path) -> list[Part]:
    """The same for the same file each time: that is what going on with an upload rests on."""
    total = path.stat().st_size
    size = max(PART, -(-total // MOST_PARTS))
    return [
        Part(path, number, start, min(size, total - start))
        for number, start in enumerate(range(0, total, size), start=1)
    ]


def upload(client: Any, bucket: str, name: str, path: Path) -> None:
    """Put a file, unless the object is there already with the same content."""
    metadata = {METADATA: sha256_file(path)}
    if _metadata(client, bucket, name) == metadata:
        return
    parts = parts_of(path)
    if len(parts) <= 1:
        body = path.read_bytes()
        client.put_object(Bucket=bucket, Key=name, Body=body, Metadata=metadata, ChecksumSHA256=_checksum(body))
        return
    upload_id, there = _unfinished(client, bucket, name, parts) or (_begun(client, bucket, name, metadata), {})

    def send(part: Part) -> dict[str, Any]:
        return there.get(part.number) or _sent(client, bucket, name, upload_id, part)

    with ThreadPoolExecutor(WORKERS) as pool:
        sent = list(pool.map(send, parts))
    client.complete_multipart_upload(Bucket=bucket, Key=name, UploadId=upload_id, MultipartUpload={"Parts": sent})


def download(client: Any, bucket: str, name: str, path: Path) -> None:
    """Get a file.

    Raises:
        DamagedError: it is not what was put. Objects that others put, who say no digest, are not looked at.
    """
    client.download_file(bucket, name, str(path))
    wanted = (_metadata(client, bucket, name) or {}).get(METADATA)
    if wanted and sha256_file(path) != wanted:
        raise DamagedError(f"{name} is damaged: its content is not what was put there")


def _metadata(client: Any, bucket: str, name: str) -> dict[str, str] | None:
    """What the object says of itself; None where there is none."""
    from botocore.exceptions import ClientError

    try:
        found: dict[str, str] = client.head_object(Bucket=bucket, Key=name)["Metadata"]
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise
    return found


def _begun(client: Any, bucket: str, name: str, metadata: dict[str, str]) -> str:
    made = client.create_multipart_upload(Bucket=bucket, Key=name, Metadata=metadata, ChecksumAlgorithm="SHA256")
    return str(made["UploadId"])


def _sent(client: Any, bucket: str, name: str, upload_id: str, part: Part) -> dict[str, Any]:
    body = part.read()
    checksum = _checksum(body)
    answer = client.upload_part(
        Bucket=bucket, Key=name, UploadId=upload_id, PartNumber=part.number, Body=body, ChecksumSHA256=checksum
    )
    return _completed(part.number, answer["ETag"], checksum)


def _completed(number: int, etag: str, checksum: str) -> dict[str, Any]:
    """A part as S3 wants it named when the upload is completed."""
    return {"PartNumber": number, "ETag": etag, "ChecksumSHA256": checksum}


def _unfinished(client: Any, bucket: str, name: str, parts: list[Part]) -> tuple[str, dict[int, dict[str, Any]]] | None:
    """An upload of this very file that was cut off, and the parts that arrived.

    One whose parts differ is somebody else's, of another file under the same name, and is left alone. Should both
    be completed in the end, each is what its writer meant, since the parts of one never get into the other.
    """
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=name)
    found = [each for page in pages for each in page.get("Uploads", ()) if each["Key"] == name]
    for each in sorted(found, key=lambda each: each["Initiated"], reverse=True):
        there = _arrived(client, bucket, name, each["UploadId"], parts)
        if there:
            return str(each["UploadId"]), there
    return None


def _arrived(client: Any, bucket: str, name: str, upload_id: str, parts: list[Part]) -> dict[int, dict[str, Any]]:
    """Parts of an upload by number; none at all if one of them is not the file's."""
    mine = {part.number: part for part in parts}
    there: dict[int, dict[str, Any]] = {}
    for each in _listed(client, bucket, name, upload_id):
        part = mine.get(each["PartNumber"])
        body = part.read() if part and part.size == each["Size"] else None
        checksum = "" if body is None else _checksum(body)
        if body is None or not _same(each, body, checksum):
            return {}
        there[each["PartNumber"]] = _completed(each["PartNumber"], each["ETag"], checksum)
    return there


def _same(listed: dict[str, Any], body: bytes, checksum: str) -> bool:
    """By SHA-256; stores that list none are asked by MD5, which is their tag of what they do not encrypt."""
    if "ChecksumSHA256" in listed:
        return bool(listed["ChecksumSHA256"] == checksum)
    return bool(listed["ETag"].strip('"') == hashlib.md5(body, usedforsecurity=False).hexdigest())


def _listed(client: Any, bucket: str, name: str, upload_id: str) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator("list_parts").paginate(Bucket=bucket, Key=name, UploadId=upload_id):
        yield from page.get("Parts", ())


def _checksum(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()
