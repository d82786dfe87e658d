"""What was derived with a version, and whether it is still there and may be used.

| state | it is there | versions that it belongs to |
|---|---|---|
| `live` | yes | one may be used |
| `withdrawn` | yes | none may be used, one is not purged |
| `left_behind` | yes | all were purged: it should have gone too |
| `purged` | no | all were purged |
| `missing` | no | one was not purged: it should be there |

Certificates and what a batch is to do are kept whatever happens to the version; the forget set of a batch
names records, and is deleted with the private part of its requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from unlearning.core.config import Config
from unlearning.registry.history import tagged
from unlearning.registry.tags import NONE
from unlearning.registry.versions import Version
from unlearning.storage.keys import batch_key, certificate_folder, wanted_folder

Kind = Literal["weights", "references", "snapshot", "split", "certificate", "batch", "forget_set"]
State = Literal["live", "withdrawn", "left_behind", "purged", "missing"]
KEPT: tuple[Kind, ...] = ("certificate", "batch")
GONE = ("withdrawn", "purged")
"""Statuses of versions that may not be used."""


class Place(Config):
    """Where an artefact is to be looked for: a key of the store, or the folder that begins with it."""

    kind: Kind
    key: str
    folder: bool = False


class Artefact(Config):
    """Something derived, and its state."""

    kind: Kind
    key: str
    """In the store; of weights, the logged model in MLflow."""
    objects: int
    """Files that are there."""
    state: State
    shared_with: tuple[str, ...]
    """Other versions that it belongs to, as `model/version`."""


class Artefacts(Config):
    """Everything derived with a version."""

    model: str
    version: str
    status: str
    artefacts: tuple[Artefact, ...]


def certificates(version: Version) -> tuple[Place, ...]:
    """The folders of certificates for the requests that its own tags name, and the newest by its tag."""
    return tuple(
        Place(kind="certificate", key=certificate_folder(each), folder=True) for each in sorted(tagged(version))
    )


def batch(version: Version) -> tuple[Place, ...]:
    """What its compliance batch was to do, and the records that it was to forget."""
    name = version.tags.batch
    if name == NONE:
        return ()
    return (
        Place(kind="batch", key=batch_key(name)),
        Place(kind="forget_set", key=wanted_folder(name, version.name), folder=True),
    )


def state(kind: Kind, there: bool, users: Sequence[Version]) -> State:
    """By the table above, for an artefact of these versions."""
    if kind in KEPT:
        return "live" if there else "missing"
    statuses = {each.tags.status for each in users}
    if kind == "forget_set" and not there:
        return "purged"
    if statuses - set(GONE):
        return "live" if there else "missing"
    if there:
        return "withdrawn" if "withdrawn" in statuses else "left_behind"
    return "missing" if "withdrawn" in statuses else "purged"


def artefact(place: Place, objects: int, version: Version, others: Sequence[Version]) -> Artefact:
    """One artefact of a version.

    Args:
        place: where it was looked for.
        objects: how many files are there.
        version: whose it is.
        others: versions that it belongs to as well, of any model; the version itself is passed over.
    """
    same = (version.name, version.version)
    sharing = [each for each in others if (each.name, each.version) != same]
    return Artefact(
        kind=place.kind,
        key=place.key,
        objects=objects,
        state=state(place.kind, objects > 0, [version, *sharing]),
        shared_with=tuple(f"{each.name}/{each.version}" for each in sharing),
    )
