"""Where is this record? One answer for collecting, erasing, withdrawing, certifying and looking up.

It follows from what is stored, never from what happens to serve: from the manifests of all snapshots, the splits of
all versions whatever their status, and the tombstones. Tags on MLflow's page can be moved by hand, so that a version
counts as trained on what either its own tags or those of the run that made it say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Self

from unlearning.compliance.fields import loose_form, normal_form
from unlearning.compliance.requests.requests import Request
from unlearning.compliance.retention import forgotten, tombstones
from unlearning.compliance.retention.forgotten import Forgotten
from unlearning.compliance.retention.tombstones import Erased
from unlearning.core.errors import DamagedSnapshotError, MissingKeyError, UserError
from unlearning.registry.client import Registry
from unlearning.registry.history import by_number, chain, refused
from unlearning.registry.tags import NONE
from unlearning.registry.versions import Version, champion, condemned
from unlearning.storage.datasets import load_manifest, load_split
from unlearning.storage.pictures import other_ids, snapshot_digests
from unlearning.storage.store import Store


@dataclass(frozen=True)
class StoredSnapshot:
    """A snapshot in the store."""

    digest: str
    records: frozenset[str]
    subjects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Persons by record id."""
    other_ids: Mapping[str, str] = field(default_factory=dict)
    """The two ids of a grey picture, each by the other; of snapshots that may hold such pictures under an id that
    others do not have for them. See `unlearning.data.records.other_id`."""

    def knows(self, record: str) -> bool:
        """Whether a picture of this id, or of the other one that it has, is in the snapshot."""
        return record in self.records or record in self.other_ids

    def of_subject(self, subject: str) -> frozenset[str]:
        """Its records of one person. Subjects are compared in their normal form."""
        return self._by_person.get(normal_form(subject), frozenset())

    def similar_to(self, subject: str) -> frozenset[str]:
        """Its persons who differ from the subject in case or spaces alone."""
        return self._by_loose_form.get(loose_form(subject), frozenset()) - {normal_form(subject)}

    @cached_property
    def _by_loose_form(self) -> Mapping[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for person in self._by_person:
            found.setdefault(loose_form(person), set()).add(person)
        return {form: frozenset(persons) for form, persons in found.items()}

    @cached_property
    def _by_person(self) -> Mapping[str, frozenset[str]]:
        """Records by the normal form of their persons: put in order once, as every request asks."""
        found: dict[str, set[str]] = {}
        for record, persons in self.subjects.items():
            for person in persons:
                found.setdefault(normal_form(person), set()).add(record)
        return {person: frozenset(records) for person, records in found.items()}


@dataclass(frozen=True)
class TrainedVersion:
    """A registered version whose weights are stored, and the records that it holds."""

    version: Version
    members: frozenset[str] | None
    """Records that it was trained on and was not shown to have forgotten; None where its split is gone or damaged, so
    that nobody can say."""

    def holds(self, records: Collection[str]) -> bool:
        """Whether it was trained on any of the records, or could have been."""
        return self.members is None or not self.members.isdisjoint(records)


@dataclass(frozen=True)
class TrainedModel:
    """A registered model: all of its versions whose weights are stored."""

    name: str
    versions: tuple[TrainedVersion, ...]
    """Oldest first."""
    known: tuple[Version, ...]
    """Those and the purged ones."""

    @cached_property
    def serving(self) -> TrainedVersion | None:
        """The champion; None where none serves."""
        serves = champion(each.version for each in self.versions)
        return next((each for each in self.versions if each.version == serves), None)

    def holders(self, records: Collection[str]) -> tuple[TrainedVersion, ...]:
        """The versions that hold any of the records, whatever their status."""
        return tuple(each for each in self.versions if each.holds(records))

    @cached_property
    def line(self) -> tuple[TrainedVersion, ...]:
        """What serves and what it was made from, the newest first, as far as it is stored; nothing where none
        serves."""
        if self.serving is None:
            return ()
        stored = {each.version.version: each for each in self.versions}
        found = chain(self.serving.version, by_number(self.known))
        return tuple(stored[each.version] for each in found if each.version in stored)


@dataclass(frozen=True)
class Inventory:
    """Everything that could hold a person's records, as it was when it was made."""

    snapshots: tuple[StoredSnapshot, ...]
    models: tuple[TrainedModel, ...]
    """By name."""
    erased: Erased
    forgotten: Forgotten
    damaged: tuple[str, ...] = ()
    """Of each snapshot that cannot be read, or not in full, one line: anybody could be in it."""
    complete: bool = False
    """Whether the other ids of all grey pictures are known."""

    @classmethod
    def of(cls, store: Store, registry: Registry) -> Inventory:
        """Look everywhere.

        Raises:
            UserError: a service does not answer.
        """
        # Tombstones last: a record that is erased meanwhile is found twice rather than nowhere.
        snapshots, damaged = stored_snapshots(store)
        models = tuple(trained_models(store, registry))
        return cls(snapshots, models, tombstones.load(store), forgotten.load(store), damaged)

    def knows(self, request: Request) -> bool:
        """Whether a snapshot knows every record id that the request gives."""
        return all(any(each.knows(record) for each in self.snapshots) for record in request.records)

    def with_other_ids(self, store: Store) -> Self:
        """The same with the other ids of all grey pictures, for ids that nobody knows else. Reads all pixels."""
        found, damaged = list(self.snapshots), list(self.damaged)
        for place, each in enumerate(found):
            try:
                found[place] = replace(each, other_ids=other_ids(store, each.digest))
            except MissingKeyError:
                continue
            except DamagedSnapshotError as error:
                damaged.append(str(error))
        return replace(self, snapshots=tuple(found), damaged=tuple(dict.fromkeys(damaged)), complete=True)

    def model(self, name: str) -> TrainedModel:
        """A model by name; without versions where the registry has none."""
        return next((each for each in self.models if each.name == name), TrainedModel(name, (), ()))

    def records_of(self, request: Request) -> frozenset[str]:
        """The records that a request is about: by subject those of all snapshots, by id those that a snapshot or a
        version holds, or that were erased before."""
        named = set(request.records) if request.subject is None else set(self.subjects_records(request.subject))
        same = {each.other_ids[record] for each in self.snapshots for record in named & each.other_ids.keys()}
        asked = frozenset(named | same)
        found = frozenset[str]().union(*(asked & each.records for each in self.snapshots))
        if request.subject is None and not asked <= found:
            found |= asked & self.erased.keys()
            found = found.union(
                *(asked & each.members for model in self.models for each in model.versions if each.members)
            )
        return found

    def to_erase(self, request: Request) -> frozenset[str]:
        """Those, and ids that nothing holds yet: what is asked for by id does not come in later."""
        return self.records_of(request).union(request.records)

    def subjects_records(self, subject: str) -> frozenset[str]:
        """The records of one person in all snapshots."""
        return frozenset[str]().union(*(each.of_subject(subject) for each in self.snapshots))

    def similar_to(self, request: Request) -> int:
        """How many persons differ from the request's subject in case or spaces alone: it may be mistyped."""
        if request.subject is None:
            return 0
        return len(frozenset[str]().union(*(each.similar_to(request.subject) for each in self.snapshots)))

    def snapshots_with(self, records: Collection[str]) -> tuple[str, ...]:
        """Digests of the snapshots that hold any of the records, sorted."""
        return tuple(sorted(each.digest for each in self.snapshots if not each.records.isdisjoint(records)))


def stored_snapshots(store: Store) -> tuple[tuple[StoredSnapshot, ...], tuple[str, ...]]:
    """Every snapshot in the store, and one line for each that is damaged.

    Of those in colour from before a grey picture had the same id everywhere, the pixels are read for the other one.
    """
    found: list[StoredSnapshot] = []
    damaged: list[str] = []
    for digest in snapshot_digests(store):
        try:
            manifest = load_manifest(store, digest)
            found.append(StoredSnapshot(digest, frozenset(manifest.record_ids), manifest.subjects))
            if manifest.ids == "stored" and manifest.image_shape[0] == 3:
                found[-1] = replace(found[-1], other_ids=other_ids(store, digest))
        except MissingKeyError:
            continue  # being deleted, or still arriving
        except DamagedSnapshotError as error:
            damaged.append(str(error))
    return tuple(found), tuple(damaged)


def trained_models(store: Store, registry: Registry, names: Iterable[str] | None = None) -> Iterator[TrainedModel]:
    """Models with every version of this product that is stored.

    Args:
        names: of these models alone; None for all that are registered.
    """

    @cache
    def members_of(split: str) -> frozenset[str] | None:
        try:
            return frozenset(load_split(store, split).members)
        except UserError:
            return None

    for name in registry.names() if names is None else names:
        known = tuple(each for each in registry.versions(name) if each.tags.kind != NONE)
        stored = [each for each in known if not condemned(each)]
        made = registry.splits_at_registration(stored)
        versions = []
        for version in stored:
            # Erasing rewrites a version's split without changing whom it was trained on: the two agree, unless
            # somebody has moved a tag, or the older one was purged.
            splits = {version.tags.value("split"), made[version.version]}
            if refused(version):  # nobody has shown that it forgot anything
                splits.add(version.tags.value("from_split"))
            splits.discard("")
            found = [some for each in splits if (some := members_of(each)) is not None]
            versions.append(TrainedVersion(version, frozenset().union(*found) if found else None))
        if known:
            yield TrainedModel(name, tuple(versions), known)
