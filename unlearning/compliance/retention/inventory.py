"""Where data and models that are purged lie: in MLflow, the store, the checkpoints and the pipeline root."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from safetensors import SafetensorError, safe_open

from unlearning.compliance.batches import store as batches
from unlearning.compliance.ledger.hash_chain import read_seal
from unlearning.compliance.requests.requests import private_keys
from unlearning.compliance.retention import run_artifacts, tombstones
from unlearning.compliance.retention.policy import Item, Kind, PurgeScope, RetentionStatus, listed, requests_of
from unlearning.compliance.retention.run_artifacts import RunArtifact
from unlearning.core.errors import DamagedSnapshotError, DamagedSplitError, MissingKeyError
from unlearning.core.files import STAGED
from unlearning.core.settings import Settings
from unlearning.data.snapshots import MANIFEST_FILE
from unlearning.registry.artifacts import LoggedModels
from unlearning.registry.client import Registry
from unlearning.storage.datasets import load_manifest, load_split
from unlearning.storage.keys import (
    BATCHES,
    SEALS,
    SPLITS,
    TOMBSTONES,
    complete_key,
    event_key,
    qualification_folder,
    references_key,
    snapshot_key,
    split_key,
)
from unlearning.storage.local import LocalStore
from unlearning.storage.open import open_store
from unlearning.storage.pictures import snapshot_digests
from unlearning.storage.store import Amount, Store

MLFLOW = "mlflow"
UNFINISHED_SECONDS = 86_400.0
"""What was begun longer ago and is not finished never will be."""

NAMES = {
    "snapshot": "a snapshot",
    "model": "a model",
    "references": "a set of references",
    "sets": "forgotten sets of a qualification",
    "split": "a split",
    "forget": "a forget set",
}

CHECKPOINTS = re.compile(r"[a-z_]+-[0-9a-f]{16}")
"""What the folder of a training's checkpoints is called."""


@dataclass(frozen=True)
class Locations:
    """Where to look."""

    where: Settings
    store: Store
    root: Store
    """The pipeline root."""
    logged: LoggedModels

    @classmethod
    def of(cls, where: Settings, registry: Registry) -> Locations:
        """Those that the settings name."""
        logged = LoggedModels(registry, where.mlflow_artifacts)
        return cls(where, open_store(where.store), open_store(where.pipeline_root), logged)

    def at(self, address: str) -> Store:
        """The store of an item; one that is open is not opened again, since each in S3 has a client of its own."""
        opened = {self.where.store: self.store, self.where.pipeline_root: self.root}
        return opened[address] if address in opened else open_store(address)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Folders of the pipeline root that are looked after by themselves."""
        if not isinstance(self.root, LocalStore):
            return ()
        others = [self.where.checkpoints, self.where.home / "mlartifacts"]
        if isinstance(self.store, LocalStore):
            others.append(self.store.root)
        root = self.root.root.absolute()
        return tuple(str(each.relative_to(root)) for each in others if each.is_relative_to(root) and each != root)


def certified(store: Store) -> frozenset[str]:
    """Requests that have a certificate, by the seals of their events: those names say it all."""
    found = set()
    for key in store.iterate(SEALS):
        _, request, seal = key.split("/", 2)
        if seal.split(".")[1:2] == ["certified"]:
            found.add(request)
    return frozenset(found)


def given_up(store: Store, before: datetime) -> frozenset[str]:
    """Requests that were withdrawn or rejected before `before`: nothing is done for them any more."""
    found = set()
    for key in store.iterate(SEALS):
        _, request, name = key.split("/", 2)
        seal = read_seal(name)
        if seal is None or seal.kind not in ("withdrawn", "rejected"):
            continue
        if _at(store, event_key(request, seal.sequence)) <= before:
            found.add(request)
    return frozenset(found)


def erased_snapshots(store: Store, ignored: Iterable[str], done: frozenset[str], before: datetime) -> frozenset[str]:
    """Snapshots in the store that hold records which were erased before `before`.

    Args:
        ignored: digests not to look at.
        done: the requests that count.
    """
    stones: dict[str, list[str]] = {}
    for key in store.list(TOMBSTONES):
        _, record, request = key.split("/", 2)
        if request in done:
            stones.setdefault(record, []).append(key)
    if not stones:
        return frozenset()
    found = set()
    for digest in snapshot_digests(store):
        if digest not in ignored:
            try:
                ids = load_manifest(store, digest).record_ids
            except (MissingKeyError, DamagedSnapshotError):
                continue  # nothing proves that it holds any; collecting tells of what is damaged
            if any(_at(store, stone) <= before for record in stones.keys() & set(ids) for stone in stones[record][:1]):
                found.add(digest)
    return frozenset(found)


def _at(store: Store, key: str) -> datetime:
    return datetime.fromisoformat(json.loads(store.read(key))["at"])


def items(
    locations: Locations,
    retention_status: RetentionStatus,
    purge_scope: PurgeScope,
    done: frozenset[str],
    now: datetime,
    stale: datetime,
) -> Iterator[Item]:
    """Everything to delete, what is left of earlier purges too, the weights last.

    Args:
        done: requests that have a certificate.
        stale: checkpoints that nobody has touched since then go too.
    """
    if purge_scope.anything:
        yield from _run_artifacts(locations, purge_scope)
    yield from _checkpoints(locations, purge_scope, stale)
    yield from _in_store(locations, retention_status, purge_scope)
    yield from _private(locations, retention_status, done, given_up(locations.store, stale))
    yield from _leftovers(locations, retention_status, purge_scope, done, now)
    yield from _weights(locations, retention_status)
    yield from _unfinished(locations, now.timestamp() - UNFINISHED_SECONDS)


def _unfinished(locations: Locations, before: float) -> Iterator[Item]:
    """What was begun before `before` and never finished, in the store and in the pipeline root."""
    why = "a writer left it unfinished"
    for address in dict.fromkeys((locations.where.store, locations.where.pipeline_root)):
        count = locations.at(address).tidy(before, only_count=True)
        if count:
            yield Item(kind="unfinished", store=address, keys=(), why=why, objects=count, bytes=0)
    if isinstance(locations.root, LocalStore):
        top = locations.root.root
        staged = {
            key[: found.end()].strip("/")
            for key in locations.root.list("")
            if (found := re.search(rf"(^|/){STAGED.pattern}(?=/|$)", key))
        }
        for key in sorted(staged):
            if (top / key).lstat().st_mtime < before:
                yield from _item("unfinished", locations.where.pipeline_root, locations.root, why, key)


def _item(kind: Kind, address: str, store: Store, why: str, *keys: str, last: str = "") -> Iterator[Item]:
    """The item, if there is anything of it."""
    sizes = [store.measure(key) for key in keys]
    objects = sum(size.objects for size in sizes)
    if objects:
        total = sum(size.bytes for size in sizes)
        yield Item(kind=kind, store=address, keys=keys, last=last, why=why, objects=objects, bytes=total)


def _run_artifacts(locations: Locations, purge_scope: PurgeScope) -> Iterator[Item]:
    root, address = locations.root, locations.where.pipeline_root
    found = [copy for copy in run_artifacts.scan(root, locations.hidden) if _holds(copy, purge_scope)]
    gone = frozenset(copy.key for copy in found)
    # First, so that no run takes half an artifact for a whole one.
    if gone and isinstance(root, LocalStore):
        entries = tuple(run_artifacts.cache_entries(root, str(root.root.absolute()), gone, locations.hidden))
        yield from _item("copy", address, root, "kfp.local's cache leads to a copy that is purged", *entries)
    for copy in found:
        why = f"a run's copy of {NAMES[copy.kind]} that is purged"
        yield from _item("copy", address, root, why, copy.key, last=copy.last)


def _holds(copy: RunArtifact, purge_scope: PurgeScope) -> bool:
    match copy.kind:
        case "snapshot":
            return copy.digest in purge_scope.snapshots
        case "references" | "sets":
            return copy.digest in purge_scope.models
        case "model":
            return purge_scope.model(copy.digest, copy.parent, copy.snapshot)
        case _:
            return purge_scope.split(copy.digest, copy.snapshot)


def _checkpoints(locations: Locations, purge_scope: PurgeScope, stale: datetime) -> Iterator[Item]:
    """Files that a training of this product left, and nothing else that lies in the folder."""
    folder = locations.where.checkpoints
    store = LocalStore(folder)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        files = [path, *path.rglob("*")] if path.is_dir() else [path]
        trained = {each: found for each in files if (found := _trained_on(each)) is not None}
        if any(purge_scope.data(each.get("snapshot", ""), each.get("split", "")) for each in trained.values()):
            why = "checkpoint of a training on data that is purged"
        elif trained and max(each.stat().st_mtime for each in trained) < stale.timestamp():
            why = f"checkpoint of a training that nobody has gone on with since {stale:%Y-%m-%d}"
        else:
            continue
        ours = all(each in trained or each.is_dir() for each in files)
        keys = [path.name] if ours else [each.relative_to(folder).as_posix() for each in trained]
        yield from _item("checkpoint", str(folder), store, why, *keys)


def _trained_on(path: Path) -> dict[str, str] | None:
    """What a checkpoint says of its training, nothing of a damaged one; None where it is no checkpoint of ours."""
    if path.suffix not in (".safetensors", ".partial") or not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="np") as handle:
            found = dict(handle.metadata() or {})
    except (SafetensorError, OSError):
        return {} if CHECKPOINTS.fullmatch(path.parent.name) else None
    return found if "fingerprint" in found else None


def _in_store(locations: Locations, retention_status: RetentionStatus, purge_scope: PurgeScope) -> Iterator[Item]:
    store, address = locations.store, locations.where.store
    for digest in sorted(purge_scope.models):
        owner = next(each for each in retention_status.condemned if each.tags.value("digest") == digest)
        why = "they know the records that were erased"
        for item in _item("references", address, store, why, references_key(digest)):
            yield item.model_copy(update={"model": owner.name, "version": owner.version})
        why = "they are of a model that was trained on the records that were erased"
        for item in _item("qualifications", address, store, why, qualification_folder(digest)):
            yield item.model_copy(update={"model": owner.name, "version": owner.version})
    why = "no version stands for it any more, and it holds erased records"
    # Snapshots come last: one that no version ever stood for is known by its manifest alone.
    for key in store.list(SPLITS) if purge_scope.anything else ():
        content = json.loads(store.read(key))
        digest = key.removeprefix(f"{SPLITS}/").removesuffix(".json")
        if key == split_key(digest) and purge_scope.split(digest, content["snapshot"]):
            yield from _item("split", address, store, why, key)
    for digest in sorted(purge_scope.snapshots):
        keys = (complete_key(digest), snapshot_key(digest))
        yield from _item("snapshot", address, store, why, *keys, last=MANIFEST_FILE)


def _private(
    locations: Locations, retention_status: RetentionStatus, done: frozenset[str], ended: frozenset[str]
) -> Iterator[Item]:
    """Who asked for what: needed no longer once it is certified and nothing waits to be purged for it, or once a
    grace period is over since it was withdrawn or rejected."""
    store, address = locations.store, locations.where.store
    finished = done - {request for version in retention_status.waiting for request in requests_of(version)}
    for request in sorted(finished | ended):
        why = "the request is certified" if request in finished else "the request was withdrawn or rejected"
        yield from _item("request", address, store, why, *private_keys(store, request))
    for key in store.list(BATCHES):
        name = key.removeprefix(f"{BATCHES}/").removesuffix(".json")
        if "/" in name:
            continue
        made = batches.load(store, name)
        asked = {request for each in made.models for request in each.requests}
        if asked and finished.issuperset(asked):
            why = "all of the batch's requests are certified"
            yield from _item("batch", address, store, why, f"{BATCHES}/{name}")


def _leftovers(
    locations: Locations,
    retention_status: RetentionStatus,
    purge_scope: PurgeScope,
    done: frozenset[str],
    now: datetime,
) -> Iterator[Item]:
    """Weights in MLflow without a version: a registration was cut off, or somebody has deleted the version."""
    known = frozenset(each.tags.logged_model for each in (*retention_status.condemned, *retention_status.kept))
    stones = tombstones.load(locations.store)
    erased = frozenset(record for record, requests in stones.items() if done.intersection(requests))
    for each in locations.logged.leftovers(known, now.timestamp() - UNFINISHED_SECONDS):
        if each.tags.value("digest") in purge_scope.kept_models:
            continue
        parent, snapshot = each.tags.parent_digest, each.tags.snapshot
        if purge_scope.model(each.tags.digest, parent, snapshot):
            why = "no version stands for it, and it holds what is purged"
        elif each.tags.value("split") and _holds_erased(locations.store, each.tags.split, erased):
            why = "no version stands for it, and it was trained on erased records"
        else:
            continue
        amount = locations.logged.measure(each.id)
        yield Item(kind="leftover", store=MLFLOW, keys=(each.id,), why=why, objects=amount.objects, bytes=amount.bytes)


def _holds_erased(store: Store, split: str, erased: frozenset[str]) -> bool:
    """Whether what was trained on a split holds erased records. A split that is gone was purged since it named some; of
    one that is damaged nobody can say, and what no version stands for is not kept for that."""
    try:
        return not erased.isdisjoint(load_split(store, split).members)
    except (MissingKeyError, DamagedSplitError):
        return bool(erased)


def _weights(locations: Locations, retention_status: RetentionStatus) -> Iterator[Item]:
    for version in retention_status.condemned:
        purged = version.tags.value("status") == "purged"
        amount = Amount(0, 0) if purged else locations.logged.measure(version.tags.logged_model)
        if amount.objects:
            yield Item(
                kind="weights",
                store=MLFLOW,
                keys=(version.tags.logged_model,),
                why=f"withdrawn for {listed(requests_of(version))}",
                objects=amount.objects,
                bytes=amount.bytes,
                model=version.name,
                version=version.version,
            )
