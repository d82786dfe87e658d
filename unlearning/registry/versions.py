"""Registered versions as plain values, for whoever follows them without MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.data.provenance import DataDigests
from unlearning.registry.tags import NONE, Tags

CHAMPION = "champion"
SUPERSEDED = "superseded"


class Version(Config):
    """A registered version, as lineage queries return it."""

    name: str
    version: str
    aliases: tuple[str, ...]
    tags: Tags
    description: str
    created: str = NONE
    """When it was registered, ISO 8601 in UTC."""


def champion(versions: Iterable[Version]) -> Version | None:
    """The one of a model's versions that serves; None where none does."""
    return next((each for each in versions if CHAMPION in each.aliases), None)


def condemned(version: Version) -> bool:
    """Whether its purge has begun, so that its weights are gone or may go at any time."""
    return version.tags.purge_started != NONE


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
    tags: Tags
    description: str
    parent: Version | None = None
    datasets: tuple[DatasetLink, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def data_of(version: Version) -> DataDigests:
    """What a version was trained on and has not forgotten.

    Raises:
        UserError: it does not say so.
    """
    missing = [name for name in ("snapshot", "split") if not version.tags.value(name)]
    if missing:
        raise UserError(
            f"model {version.name} version {version.version} has no tag {missing[0]}: somebody is writing it, so try "
            "again, or it was registered by something else"
        )
    return DataDigests(snapshot=version.tags.snapshot, split=version.tags.split)
