"""Which version of a model has forgotten which record: what a later request for the same record is told, when the
data that says so was purged.

One empty object for each, `forgotten/<model>/<version>/<record id>`, kept like tombstones. In place of a version
`withdrawn` stands for records that no version was made to forget: every one that was trained on them was withdrawn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from unlearning.storage.keys import FORGOTTEN, forgotten_key
from unlearning.storage.store import Store, create_idempotent

WITHDRAWN = "withdrawn"

Forgotten = Mapping[str, Mapping[str, frozenset[str]]]
"""Record ids by model and version."""


def add(store: Store, model: str, version: str, records: Collection[str]) -> None:
    """Keep that a version has forgotten the records. Doing it twice changes nothing."""
    for record in records:
        create_idempotent(store, forgotten_key(model, version, record), b"")


def load(store: Store) -> Forgotten:
    """All that was kept; takes one listing."""
    found: dict[str, dict[str, set[str]]] = {}
    for key in store.list(FORGOTTEN):
        _, model, version, record = key.split("/")
        found.setdefault(model, {}).setdefault(version, set()).add(record)
    return {
        model: {version: frozenset(records) for version, records in versions.items()}
        for model, versions in found.items()
    }
