"""Erase: the records of a request get their tombstones, and leave the data of everything that serves."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from unlearning.compliance.requests.inventory import champions
from unlearning.compliance.retention import tombstones
from unlearning.data.provenance import DataDigests
from unlearning.registry.client import Registry, Version
from unlearning.registry.tags import Tags
from unlearning.registry.versions import data_of
from unlearning.storage.datasets import load_split, reduce
from unlearning.storage.store import Store


def erase(store: Store, registry: Registry, request: str, records: Collection[str], *, now: datetime) -> list[Version]:
    """Set tombstones, and let what serves stand for its data without the records. Doing it twice changes nothing.

    What a model was trained on stays in its data until it has forgotten it: the next unlearning needs it.

    Returns:
        The versions whose data was rewritten.
    """
    tombstones.add(store, records, request=request, at=now)
    changed = []
    for version in champions(registry):
        # Tags are set one by one, the split last: after a crash between the two it is the one that counts.
        split = load_split(store, data_of(version).split)
        before = DataDigests(snapshot=split.snapshot, split=split.digest)
        after = reduce(store, before, frozenset(records).difference(split.members))
        if after != data_of(version):
            registry.set_tags(version, Tags(snapshot=after.snapshot, split=after.split))
            changed.append(version)
    return changed
