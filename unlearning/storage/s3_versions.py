"""Every version that an S3 bucket keeps of an object, and deleting them; for `store`, which has the client.

Where versioning is on, deleting an object puts a marker over it and keeps its bytes, and writing it anew
keeps the old ones. An upload in parts that was cut off keeps what arrived, and no listing of objects shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class ObjectVersion(NamedTuple):
    """One version of one object."""

    key: str
    version: str
    size: int
    """In bytes."""
    marker: bool
    """Says that the object was deleted, and holds nothing."""


def under(client: Any, bucket: str, name: str) -> Iterator[ObjectVersion]:
    """Every version of the object `name` and of all objects in the folder of that name."""
    for start in (name, f"{name}/"):
        for found in _listed(client, bucket, start):
            if start == name and found.key != name:
                break  # keys come sorted: a neighbour whose name only begins like this one's
            yield found


def _listed(client: Any, bucket: str, start: str) -> Iterator[ObjectVersion]:
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=start):
        held = [(each, each["Size"], False) for each in page.get("Versions", ())]
        markers = [(each, 0, True) for each in page.get("DeleteMarkers", ())]
        yield from sorted(
            ObjectVersion(each["Key"], each["VersionId"], size, marker) for each, size, marker in held + markers
        )


def purge(client: Any, bucket: str, name: str, last: str) -> int:
    """Delete every version; those of the object `last` go last.

    Markers go after what they hide: should this be cut off, nothing that was deleted comes to light again.

    Returns:
        How many versions were deleted; markers do not count.
    """
    found = sorted(under(client, bucket, name), key=lambda each: (each.key == last, each.marker))
    for each in found:
        client.delete_object(Bucket=bucket, Key=each.key, VersionId=each.version)
    return sum(not each.marker for each in found)


def unfinished_uploads(client: Any, bucket: str, start: str, before: float) -> list[tuple[str, str]]:
    """Key and id of every upload in parts that began before `before`, in seconds since 1970."""
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=start)
    uploads = [upload for page in pages for upload in page.get("Uploads", ())]
    return [(each["Key"], each["UploadId"]) for each in uploads if each["Initiated"].timestamp() < before]


def abort_uploads(client: Any, bucket: str, uploads: Sequence[tuple[str, str]]) -> int:
    """Drop uploads in parts; how many there were."""
    for key, identity in uploads:
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=identity)
    return len(uploads)
