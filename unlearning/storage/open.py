"""The store at an address."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from unlearning.core.errors import UserError
from unlearning.storage.local import LocalStore
from unlearning.storage.store import Store

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


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
        from unlearning.storage.s3 import S3Store  # boto3 takes its time, and a local store needs none of it

        return S3Store(parts.netloc, parts.path.strip("/"))
    raise UserError(f"store {uri!r} is not an address of a store: give a folder, file:///folder or s3://bucket/prefix")
