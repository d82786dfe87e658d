"""Copies of data and models that pipelines left behind, told by what they hold and not by where they lie.

A pipeline root holds the artifacts of every run: on one machine `<run>/tasks/…`, on a cluster what KFP puts
there. Each artifact of ours has a file that says what it is; what says nothing is left alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unlearning.core.files import sha256_json
from unlearning.storage.store import Store

MARKS = {
    "references.json": "references",
    "forgotten-sets.json": "sets",
    "manifest.json": "snapshot",
    "weights.safetensors": "model",
}
"""The file of a folder that says what it is. It is deleted last, so that what is left can still be told."""

PROVENANCE_FILE = "provenance.json"
CACHE_FOLDER = ".kfp_cache"


class _Told(BaseModel):
    """What is looked at; a file from another version of the library, with more in it, must not go unnoticed."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Manifest(_Told):
    digest: str
    record_ids: tuple[str, ...]


class _References(_Told):
    original: str
    split: str
    numbers: tuple[int, ...]


class _Sets(_Told):
    original: str
    split: str
    sets: dict[int, int]


class _Provenance(_Told):
    method: str
    snapshot: str
    split: str
    parent: str = ""


class _Split(_Told):
    snapshot: str
    seed: int
    members: tuple[str, ...]
    holdout: tuple[str, ...]


class _Forget(_Told):
    kind: str
    split: str
    ids: tuple[str, ...] = Field(min_length=1)


@dataclass(frozen=True)
class RunArtifact:
    """An artifact, and what it says of itself."""

    kind: Literal["snapshot", "model", "references", "sets", "split", "forget"]
    key: str
    """A folder, or the file of a split or forget set."""
    digest: str
    """Of the snapshot, the weights, the original of references or of sets that it forgot, the split, or the split of
    a forget set."""
    last: str = ""
    """The file of the folder that says what it is."""
    snapshot: str = ""
    """Of a split and a model."""
    parent: str = ""
    """Digest of the model that a model was made from."""
    records: frozenset[str] = frozenset()
    """Ids in a snapshot."""


def scan(store: Store, hidden: tuple[str, ...] = ()) -> Iterator[RunArtifact]:
    """Every artifact of ours.

    Args:
        store: the pipeline root.
        hidden: folders that are not looked into: they lie in the root, but are something else.
    """
    keys = [key for key in store.list("") if not any(_within(key, folder) for folder in hidden)]
    folders = {str(PurePosixPath(key).parent): MARKS[name] for key in keys if (name := _name(key)) in MARKS}
    folders.pop(".", None)  # the root itself is no artifact
    references = {folder for folder, kind in folders.items() if kind == "references"}
    for folder in sorted(folders):
        if not any(_within(above, each) for above in _above(folder) for each in references):
            yield from _folder(store, folder, folders[folder])
    for key in keys:
        inside = any(above in folders for above in _above(key))
        if not inside and PurePosixPath(key).suffix in ("", ".json") and CACHE_FOLDER not in key.split("/"):
            yield from _file(key, store.read(key))


def _name(key: str) -> str:
    return PurePosixPath(key).name


def _above(key: str) -> list[str]:
    """The folders that a key is in, the root not among them."""
    return [str(each) for each in PurePosixPath(key).parents][:-1]


def _within(key: str, folder: str) -> bool:
    return key == folder or key.startswith(f"{folder}/")


def _folder(store: Store, folder: str, kind: str) -> Iterator[RunArtifact]:
    if kind == "model":
        yield _model(store, folder)
        return
    mark = next(name for name, marked in MARKS.items() if marked == kind)
    content = _json(store.read(f"{folder}/{mark}"))
    try:
        if kind == "snapshot":
            manifest = _Manifest.model_validate(content)
            yield RunArtifact("snapshot", folder, manifest.digest, mark, records=frozenset(manifest.record_ids))
        elif kind == "sets":
            yield RunArtifact("sets", folder, _Sets.model_validate(content).original, mark)
        else:
            yield RunArtifact("references", folder, _References.model_validate(content).original, mark)
    except ValidationError:
        return  # another program's file of that name


def _model(store: Store, folder: str) -> RunArtifact:
    weights = "weights.safetensors"
    digest = hashlib.sha256(store.read(f"{folder}/{weights}")).hexdigest()
    made = f"{folder}/{PROVENANCE_FILE}"
    snapshot = parent = ""
    if store.exists(made):
        try:
            found = _Provenance.model_validate(_json(store.read(made)))
            snapshot, parent = found.snapshot, found.parent
        except ValidationError:
            pass  # the weights can still be told by their digest
    return RunArtifact("model", folder, digest, weights, snapshot=snapshot, parent=parent)


def _file(key: str, data: bytes) -> Iterator[RunArtifact]:
    content = _json(data)
    try:
        found = _Split.model_validate(content)
        yield RunArtifact("split", key, sha256_json(content), snapshot=found.snapshot)
        return
    except ValidationError:
        pass
    try:
        yield RunArtifact("forget", key, _Forget.model_validate(content).split)
    except ValidationError:
        return


def _json(data: bytes) -> Any:
    if data.lstrip()[:1] != b"{":
        return None
    try:
        return json.loads(data)
    except ValueError:
        return None


def cache_entries(store: Store, root: str, gone: frozenset[str], hidden: tuple[str, ...] = ()) -> Iterator[str]:
    """Keys of kfp.local's cache that lead to one of the keys `gone`, so that nothing is taken from there again.

    Args:
        root: the address of the folder that `store` is, as the cache's own addresses begin.
    """
    for key in store.list(""):
        if _name(str(PurePosixPath(key).parent)) != CACHE_FOLDER or any(_within(key, folder) for folder in hidden):
            continue
        found = {uri.removeprefix(root).strip("/") for uri in _uris(_json(store.read(key)))}
        if any(_within(uri, each) for uri in found for each in gone):
            yield key


def _uris(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        uri = content.get("uri")
        if isinstance(uri, str):
            yield uri
        for each in content.values():
            yield from _uris(each)
    elif isinstance(content, list):
        for each in content:
            yield from _uris(each)
