"""What happens to versions that hold what a newer one has forgotten: withdrawn, kept for a while, purged.

Everything is decided by tags, and from what is there now: a plan made again after a crash names what is
left, so that nobody has to remember how far the last one came.

| a version is | when | its weights and data |
|---|---|---|
| withdrawn | `purge_after` is set and it does not serve | are kept until then |
| condemned | `purge_started` is set | may be gone; it never serves again |
| purged | its `status` says so | are gone |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import computed_field

from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.registry.versions import CHAMPION, Version, condemned

Kind = Literal[
    "weights",
    "leftover",
    "references",
    "qualifications",
    "snapshot",
    "split",
    "copy",
    "checkpoint",
    "request",
    "batch",
    "unfinished",
]


class Item(Config):
    """Something that a purge deletes."""

    kind: Kind
    store: str
    """Address of the store that holds it; `mlflow` for a logged model."""
    keys: tuple[str, ...]
    """Objects or folders, in the order in which they go."""
    last: str = ""
    """The object of a folder that goes after all others."""
    why: str
    objects: int
    bytes: int
    model: str = ""
    version: str = ""
    """The version that it belongs to, where it is one's alone."""


class Waiting(Config):
    """A withdrawn version whose grace period is not over."""

    model: str
    version: str
    purge_after: datetime
    requests: tuple[str, ...]


class PurgePlan(Config):
    """What a purge deletes now, and what later ones will."""

    items: tuple[Item, ...]
    waiting: tuple[Waiting, ...]
    versions: tuple[str, ...] = ()
    """Whose weights and data go, as `<model> version <number>`."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def objects(self) -> int:
        """How many objects go."""
        return sum(item.objects for item in self.items)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def bytes(self) -> int:
        """How many bytes go."""
        return sum(item.bytes for item in self.items)


def iso(moment: datetime) -> str:
    """A moment as tags hold it: UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def check_grace(grace_days: int) -> None:
    """Look at a grace period.

    Raises:
        UserError: it is negative.
    """
    if grace_days < 0:
        raise UserError(f"a grace period of {grace_days} days is not possible: give 0 or more")


def purge_after(now: datetime, grace_days: int) -> datetime:
    """When what is withdrawn at `now` may be purged.

    Raises:
        UserError: `now` has no time zone, or the grace period is negative.
    """
    if now.tzinfo is None:
        raise UserError("the time has no time zone: give one such as 2026-01-31T12:00:00+00:00")
    check_grace(grace_days)
    return now + timedelta(days=grace_days)


def label(version: Version) -> str:
    """A version as people name it."""
    return f"{version.name} version {version.version}"


def requests_of(version: Version) -> tuple[str, ...]:
    """The requests for which a version was withdrawn."""
    found = version.tags.value("withdrawn_for")
    return tuple(found.split(",")) if found else ()


def listed(requests: Sequence[str]) -> str:
    """Requests in words."""
    return f"request{'' if len(requests) == 1 else 's'} {', '.join(requests)}"


def serves(version: Version) -> bool:
    """Whether it is the champion."""
    return CHAMPION in version.aliases


def withdrawn(version: Version) -> bool:
    """Whether it was taken out of use; one that serves again is not, until it is withdrawn anew."""
    return bool(version.tags.value("purge_after")) and not serves(version) and not condemned(version)


def ready(
    versions: Sequence[Version], now: datetime, *, model_name: str = "", at_once: bool = False
) -> tuple[Version, ...]:
    """The withdrawn versions whose grace period is over.

    Args:
        versions: of all models.
        model_name: only versions of this one; empty for any.
        at_once: whether the grace period does not count.

    Raises:
        UserError: a `purge_after` is no time.
    """

    def is_ready(version: Version) -> bool:
        wanted = withdrawn(version) and model_name in ("", version.name)
        return wanted and (at_once or _purge_after(version) <= now)

    # Two versions may be one logged model: its weights stay until neither needs them.
    needed = {each.tags.logged_model for each in versions if not condemned(each) and not is_ready(each)}
    return tuple(each for each in versions if is_ready(each) and each.tags.logged_model not in needed)


@dataclass(frozen=True)
class RetentionStatus:
    """Which versions a purge takes, and which it leaves."""

    condemned: tuple[Version, ...]
    """Their purge begins, has begun or is done."""
    kept: tuple[Version, ...]
    """All others: what they stand for stays."""

    @property
    def waiting(self) -> tuple[Version, ...]:
        """The kept ones that are withdrawn."""
        return tuple(each for each in self.kept if withdrawn(each))


def retention_status(versions: Sequence[Version], also: Sequence[Version] = ()) -> RetentionStatus:
    """What becomes of every version.

    Args:
        versions: of all models.
        also: those that are condemned now.
    """
    taken = tuple(each for each in versions if condemned(each) or each in also)
    return RetentionStatus(taken, tuple(each for each in versions if each not in taken))


def waits(version: Version) -> Waiting:
    """A withdrawn version as the plan lists it."""
    after = _purge_after(version)
    return Waiting(model=version.name, version=version.version, purge_after=after, requests=requests_of(version))


def _purge_after(version: Version) -> datetime:
    text = version.tags.value("purge_after")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = datetime.min
    if found.tzinfo is None:
        raise UserError(f"{label(version)} has purge_after {text!r}, which is no time with a zone: correct the tag")
    return found


@dataclass(frozen=True)
class PurgeScope:
    """What only condemned versions stand for, and by which a copy of it can be told."""

    models: frozenset[str]
    """Digests of weights."""
    snapshots: frozenset[str]
    splits: frozenset[str]
    kept_models: frozenset[str]
    kept_snapshots: frozenset[str]
    kept_splits: frozenset[str]

    def model(self, digest: str, parent: str, snapshot: str) -> bool:
        """Whether weights hold what is purged.

        What was made of a condemned model holds it, unless a kept version says that it serves all the same;
        weights of which nobody knows where they come from are told by the data.
        """
        if digest in self.kept_models:
            return False
        if digest in self.models or parent in self.models:
            return True
        return parent not in self.kept_models and snapshot in self.snapshots

    @property
    def anything(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.models or self.snapshots or self.splits)

    def data(self, snapshot: str, split: str) -> bool:
        """Whether something was trained on what is purged."""
        return snapshot in self.snapshots or split in self.splits

    def split(self, digest: str, snapshot: str) -> bool:
        """Whether a split, or a forget set chosen from it, names records of what is purged."""
        return digest not in self.kept_splits and (digest in self.splits or snapshot in self.snapshots)


def purge_scope(status: RetentionStatus, erased_snapshots: Iterable[str] = ()) -> PurgeScope:
    """What goes with the condemned versions.

    A kept version keeps what it stands for now, not what it was made from: that is what it has forgotten.

    Args:
        status: of all versions of all models.
        erased_snapshots: that hold erased records though no version may ever have stood for them.
    """

    def values(versions: Iterable[Version], *tags: str) -> frozenset[str]:
        return frozenset(value for version in versions for tag in tags if (value := version.tags.value(tag)))

    kept = {tag: values(status.kept, tag) for tag in ("digest", "snapshot", "split")}
    gone = values(status.condemned, "snapshot", "from_snapshot") | frozenset(erased_snapshots)
    return PurgeScope(
        models=values(status.condemned, "digest") - kept["digest"],
        snapshots=gone - kept["snapshot"],
        splits=values(status.condemned, "split", "from_split") - kept["split"],
        kept_models=kept["digest"],
        kept_snapshots=kept["snapshot"],
        kept_splits=kept["split"],
    )
