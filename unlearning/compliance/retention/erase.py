"""Erase: the records of a request get their tombstones, and leave the data of every version that was not trained on
them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from unlearning.compliance.inventory import TrainedVersion, trained_models
from unlearning.compliance.retention import tombstones
from unlearning.compliance.retention.policy import withdrawn
from unlearning.core.errors import DamagedSnapshotError, DamagedSplitError, MissingKeyError
from unlearning.data.provenance import DataDigests
from unlearning.registry.client import Registry, Version
from unlearning.registry.tags import Tags
from unlearning.registry.versions import data_of
from unlearning.storage.concurrency import side_by_side
from unlearning.storage.datasets import load_split, reduce
from unlearning.storage.store import Store

Erasing = Mapping[str, Collection[str]]
"""What is to be erased: by request every id of the pictures of its records (`ids_of_pictures`), so that they
stay out under each."""


def erase(store: Store, registry: Registry, asked: Erasing, *, now: datetime) -> list[Version]:
    """Set tombstones, and let every version stand for its data without the records. Doing it twice changes nothing.

    What a model was trained on stays in its data until it has forgotten it: the next unlearning needs it. What was
    held out for calibration, as non-members or for tests goes at once. Withdrawn versions keep their data, which is
    purged with them, and data that cannot be read stays as it is, unless its split names one of the records.

    Returns:
        The versions whose data was rewritten.

    Raises:
        DamagedSnapshotError: a version stands for data with some of them, which cannot be read.
        UserError: the store or the registry cannot be used.
    """
    for _ in side_by_side(lambda each: tombstones.add(store, each[1], request=each[0], at=now), asked.items()):
        pass
    records = frozenset[str]().union(*asked.values())
    versions = [each for model in trained_models(store, registry) for each in model.versions]
    return [
        each.version for each in versions if not withdrawn(each.version) and _reduce(store, registry, each, records)
    ]


def erase_each(store: Store, registry: Registry, asked: Erasing, *, now: datetime) -> dict[str, DamagedSnapshotError]:
    """Erase what can be: damaged data stops those requests alone whose records are in it.

    Returns:
        What stopped each of those, by request.

    Raises:
        UserError: the store or the registry cannot be used.
    """
    if not asked:
        return {}
    try:
        erase(store, registry, asked, now=now)
    except DamagedSnapshotError as error:
        if len(asked) == 1:
            return dict.fromkeys(asked, error)
        names = list(asked)
        halves = names[: len(names) // 2], names[len(names) // 2 :]
        found = [erase_each(store, registry, {name: asked[name] for name in half}, now=now) for half in halves]
        return found[0] | found[1]
    return {}


def _reduce(store: Store, registry: Registry, trained: TrainedVersion, records: frozenset[str]) -> bool:
    version = trained.version
    if trained.members is None:
        return False  # nobody can say what it was trained on; whoever needs to know is told
    try:
        # Tags are set one by one, the split last: after a crash between the two it is the one that counts.
        split = load_split(store, data_of(version).split)
        before = DataDigests(snapshot=split.snapshot, split=split.digest)
        after = reduce(store, before, records.difference(trained.members, split.members))
    except (MissingKeyError, DamagedSplitError):
        return False  # its data was purged, or is being purged; or nobody can say what it is
    except DamagedSnapshotError:
        if records.isdisjoint(split.ids):
            return False
        raise
    if after == data_of(version):
        return False
    registry.set_tags(version, Tags(snapshot=after.snapshot, split=after.split))
    return True
