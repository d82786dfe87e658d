"""Erase: the records of a request get their tombstones, and leave the data of everything that serves."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from unlearning.compliance import tombstones
from unlearning.registry import Registry, Version
from unlearning.steps.inventory import champions
from unlearning.steps.stored import data_of, load_split, reduce
from unlearning.store import Store


def erase(store: Store, registry: Registry, request: str, records: Collection[str], *, now: datetime) -> list[Version]:
    """Set tombstones, and let what serves stand for its data without the records. Doing it twice changes nothing.

    What a model was trained on stays in its data until it has forgotten it: the next unlearning needs it.

    Returns:
        The versions whose data was rewritten.
    """
    tombstones.add(store, records, request=request, at=now)
    changed = []
    for version in champions(registry):
        before = data_of(version)
        split = load_split(store, before.split)
        after = reduce(store, before, frozenset(records).difference(split.members))
        if after != before:
            registry.set_tags(version, after.model_dump())
            changed.append(version)
    return changed
