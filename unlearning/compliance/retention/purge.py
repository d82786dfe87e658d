"""Purge: after the grace period what holds erased data is really deleted; the lineage stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from unlearning.compliance.batches.parameters import GRACE_DAYS
from unlearning.compliance.retention.inventory import (
    MLFLOW,
    UNFINISHED_SECONDS,
    Locations,
    certified,
    erased_snapshots,
    items,
)
from unlearning.compliance.retention.policy import (
    Item,
    PurgePlan,
    RetentionStatus,
    Waiting,
    iso,
    label,
    purge_after,
    purge_scope,
    ready,
    requests_of,
    retention_status,
    waits,
    withdrawn,
)
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.registry import descriptions
from unlearning.registry.client import Registry, Version
from unlearning.registry.promotion import promoting
from unlearning.registry.tags import NONE, Tags

Watch = Callable[[Item, int], None]
"""Told of every item when it is gone, and how many objects were removed."""


class PurgedVersion(Config):
    """A version whose weights and data are gone."""

    model: str
    version: str
    requests: tuple[str, ...]
    """For which it was withdrawn."""
    objects: int
    """How many objects of it alone this purge removed."""


class PurgeResult(Config):
    """What a purge did."""

    versions: tuple[PurgedVersion, ...]
    objects: int
    """How many objects were removed, every version that a bucket kept counted."""
    bytes: int
    waiting: tuple[Waiting, ...]
    """Withdrawn versions that are not due."""


def plan(*, now: datetime, model_name: str = "", at_once: bool = False, grace_days: int = GRACE_DAYS) -> PurgePlan:
    """What a purge would delete now, and what waits. Changes nothing.

    Args:
        now: with a time zone.
        model_name: only versions of this model; empty for all. What is left of earlier purges goes in any case.
        at_once: also versions whose grace period is not over.
        grace_days: after which a checkpoint is stale, and a snapshot with erased records is due that no
            version ever stood for.

    Raises:
        UserError: `now`, the model or `grace_days` is not possible, or a service does not answer.
    """
    registry, locations = _open(now, model_name, grace_days)
    versions = _every_version(registry)
    found = retention_status(versions, ready(versions, now, model_name=model_name, at_once=at_once))
    return _plan(locations, found, now, at_once, grace_days)


def purge(
    *,
    now: datetime,
    model_name: str = "",
    at_once: bool = False,
    grace_days: int = GRACE_DAYS,
    owner: str = "purge",
    watch: Watch = lambda item, objects: None,
) -> PurgeResult:
    """Delete what `plan` names, and tag the versions. Repeating it is safe, after a crash too.

    Args:
        now, model_name, at_once, grace_days: as of `plan`.
        owner: names the work in the lock of promotions.

    Raises:
        UserError: as `plan`, or a promotion is at work.
    """
    registry, locations = _open(now, model_name, grace_days)
    for name in [model_name] if model_name else registry.names():
        _condemn(registry, locations, name, now, at_once, owner)
    # Nothing more is condemned from here on: what somebody promotes meanwhile is not touched.
    found = retention_status(_every_version(registry))
    planned = _plan(locations, found, now, at_once, grace_days)
    removed: dict[tuple[str, str], int] = {}
    for item in planned.items:
        count = _remove(locations, item, now)
        removed[item.model, item.version] = removed.get((item.model, item.version), 0) + count
        watch(item, count)
    versions = tuple(_mark(registry, each, now, removed.get((each.name, each.version), 0)) for each in _unmarked(found))
    for name in sorted({each.model for each in versions}):
        descriptions.tell(registry, name)
    return PurgeResult(
        versions=versions,
        objects=sum(removed.values()),
        bytes=planned.bytes,
        waiting=planned.waiting,
    )


def _open(now: datetime, model_name: str, grace_days: int) -> tuple[Registry, Locations]:
    purge_after(now, grace_days)
    where = settings.from_environment()
    registry = Registry(where.tracking_uri)
    if model_name and not registry.versions(model_name):
        raise UserError(f"model {model_name!r} is not in the registry at {registry.shown_uri}: check its name")
    return registry, Locations.of(where, registry)


def _every_version(registry: Registry) -> list[Version]:
    """Those that this product registered, of all models."""
    found = [version for name in registry.names() for version in registry.versions(name)]
    return [version for version in found if version.tags.kind != NONE]


def _unmarked(found: RetentionStatus) -> list[Version]:
    """Condemned versions that are not tagged as purged yet."""
    return [each for each in found.condemned if each.tags.status != "purged"]


def _plan(locations: Locations, found: RetentionStatus, now: datetime, at_once: bool, grace_days: int) -> PurgePlan:
    done, stale = certified(locations.store), now - timedelta(days=grace_days)
    by_versions = purge_scope(found)
    known = by_versions.kept_snapshots | by_versions.snapshots
    erased = erased_snapshots(locations.store, known, done, now if at_once else stale)
    return PurgePlan(
        items=tuple(items(locations, found, purge_scope(found, erased), done, now, stale)),
        waiting=tuple(waits(each) for each in found.waiting),
        versions=tuple(label(each) for each in _unmarked(found)),
    )


def _condemn(registry: Registry, locations: Locations, name: str, now: datetime, at_once: bool, owner: str) -> None:
    """Mark the versions of a model that are due, so that none of them serves again.

    Looked at under the lock of promotions: one that has just become champion is not due.
    """
    if not any(withdrawn(each) for each in registry.versions(name)):
        return
    with promoting(locations.store, name, owner) as lease:
        for version in ready(_every_version(registry), now, model_name=name, at_once=at_once):
            lease.check()
            registry.set_tags(version, Tags(purge_started=iso(now)))


def _remove(locations: Locations, item: Item, now: datetime) -> int:
    if item.store == MLFLOW:
        return sum(locations.logged.purge(key) for key in item.keys)
    store = locations.at(item.store)
    if item.kind == "unfinished" and not item.keys:
        return store.tidy(now.timestamp() - UNFINISHED_SECONDS)
    return sum(store.purge(key, item.last) for key in item.keys)


def _mark(registry: Registry, version: Version, now: datetime, objects: int) -> PurgedVersion:
    """Say that everything is gone; the tag that says so comes last."""
    requests = requests_of(version)
    # Where an earlier run was cut off here, what it said stays: its objects are not here to be counted any more.
    told = Tags(purged_at=iso(now), purged_objects=str(objects)).written()
    registry.set_tags(version, Tags(**{key: value for key, value in told.items() if not version.tags.value(key)}))
    registry.set_tags(version, Tags(status="purged"))
    return PurgedVersion(model=version.name, version=version.version, requests=requests, objects=objects)
