"""Registered versions as plain values, for whoever follows them without MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unlearning.core.config import Config

CHAMPION = "champion"
SUPERSEDED = "superseded"
NONE = "none"
"""What a tag says that has no value: searches skip versions that lack the tag."""


class Version(Config):
    """A registered version, as lineage queries return it."""

    name: str
    version: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    description: str
    created: str = NONE
    """When it was registered, ISO 8601 in UTC."""

    def tag(self, key: str) -> str:
        """A tag's value; `none` where it has none, or the version is older than the tag."""
        return self.tags.get(key, NONE)


def champion(versions: Iterable[Version]) -> Version | None:
    """The one of a model's versions that serves; None where none does."""
    return next((each for each in versions if CHAMPION in each.aliases), None)


def condemned(version: Version) -> bool:
    """Whether its purge has begun, so that its weights are gone or may go at any time."""
    return version.tag("purge_started") != NONE


@dataclass(frozen=True)
class DatasetLink:
    """A dataset of a run, by role and digest; no pixels and no ids go to MLflow."""

    role: str
    digest: str
    records: int
    source: str


@dataclass(frozen=True)
class NewVersion:
    """A version to register.

    `operation` identifies the work that made it: registering the same operation again returns the
    version that exists. `folder` holds the model, `files` what is shown on its page.
    """

    name: str
    operation: str
    kind: str
    folder: Path
    digest: str
    image_shape: tuple[int, int, int]
    tags: Mapping[str, str]
    description: str
    parent: Version | None = None
    datasets: tuple[DatasetLink, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
