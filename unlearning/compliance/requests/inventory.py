"""What there is that could hold a person's records: every snapshot in the store, and what serves of every model."""

from __future__ import annotations

from collections.abc import Iterator

from unlearning.compliance.requests.resolution import Holding, ServingData
from unlearning.core.errors import MissingKeyError
from unlearning.registry.client import CHAMPION, Registry, Version
from unlearning.registry.tags import Tags
from unlearning.registry.versions import data_of
from unlearning.storage.datasets import load_manifest, load_split
from unlearning.storage.keys import SNAPSHOTS
from unlearning.storage.store import Store


def champions(registry: Registry) -> list[Version]:
    """What serves, of every model, by name."""
    return [each for each in registry.search(Tags(status="serving")) if CHAMPION in each.aliases]


def holdings(store: Store) -> Iterator[Holding]:
    """Every snapshot in the store.

    Raises:
        UserError: the manifest of one is damaged: a person could be in it.
    """
    digests = sorted({key.split("/")[1] for key in store.list(SNAPSHOTS) if key.count("/") > 1})
    for digest in digests:
        try:
            manifest = load_manifest(store, digest)
        except MissingKeyError:
            continue  # being deleted, or still arriving
        yield Holding(digest, frozenset(manifest.record_ids), manifest.subjects)


def serving(store: Store, registry: Registry) -> Iterator[ServingData]:
    """What serves of every model, with the records that it was trained on and has not forgotten.

    Raises:
        UserError: the split of one is missing or damaged.
    """
    for version in champions(registry):
        data = data_of(version)
        members = frozenset(load_split(store, data.split).members)
        yield ServingData(version.name, version.version, data.snapshot, members)
