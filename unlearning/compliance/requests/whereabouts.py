"""Where a person's records are: every snapshot, version and tombstone, for the officer who is asked."""

from __future__ import annotations

from collections.abc import Collection

from unlearning.compliance.inventory import Inventory
from unlearning.compliance.retention.policy import label
from unlearning.core.config import Config


class VersionHolding(Config):
    """A version that was trained on a record and was not shown to have forgotten it."""

    version: str
    """In words, such as `shop version 3`."""
    status: str
    purge_after: str
    """ISO 8601, or `none` where it is not withdrawn."""


class Whereabouts(Config):
    """Where one record is."""

    record: str
    subjects: tuple[str, ...]
    """Whom snapshots name for it."""
    snapshots: tuple[str, ...]
    """Digests of those that hold it."""
    versions: tuple[VersionHolding, ...]
    erased_for: tuple[str, ...]
    """Requests that it was erased for."""


def whereabouts(inventory: Inventory, records: Collection[str]) -> tuple[Whereabouts, ...]:
    """Look every record up, in the order of their ids."""
    return tuple(_of(inventory, record) for record in sorted(records))


def _of(inventory: Inventory, record: str) -> Whereabouts:
    held = [each for each in inventory.snapshots if record in each.records]
    trained = [each.version for model in inventory.models for each in model.holders({record})]
    return Whereabouts(
        record=record,
        subjects=tuple(sorted({person for each in held for person in each.subjects.get(record, ())})),
        snapshots=tuple(each.digest for each in held),
        versions=tuple(
            VersionHolding(version=label(each), status=each.tags.status, purge_after=each.tags.purge_after)
            for each in trained
        ),
        erased_for=tuple(inventory.erased.get(record, ())),
    )
