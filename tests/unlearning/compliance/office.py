"""A privacy office over random histories, and beside it a slow oracle that keeps the truth in a dictionary.

Trainings, batches, promotions, purges and certificates are the product's own, but for what takes a GPU: a candidate's
weights are random bytes, and its audit says what the history wants. The oracle knows which records every weights file
was really trained on, and looks at each certificate when it is issued and at every byte after the purge.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from PIL import Image

from tests.conftest import set_home
from tests.mlflow_in_memory import Client
from unlearning.compliance.batches.collect import CollectResult
from unlearning.compliance.batches.wanted import wanted_now
from unlearning.compliance.certificates import dsse, keys, statement
from unlearning.compliance.certificates.predicate import Erasure, ModelErasure
from unlearning.compliance.requests import intake
from unlearning.compliance.requests.requests import Request
from unlearning.compliance.retention import tombstones
from unlearning.compliance.retention.purge import purge
from unlearning.core.errors import UserError
from unlearning.core.seeding import generator
from unlearning.data import snapshots
from unlearning.data.records import Records, record_ids
from unlearning.data.splits import Split
from unlearning.registry.client import Registry, Version
from unlearning.registry.promotion import serve
from unlearning.registry.tags import NONE, Tags
from unlearning.registry.versions import champion, data_of
from unlearning.steps.certify import certify
from unlearning.steps.collect import collect
from unlearning.steps.fulfil import fulfil, release
from unlearning.storage.datasets import keep_snapshot, keep_split, load_manifest, load_split, reduce
from unlearning.storage.keys import SNAPSHOTS
from unlearning.storage.local import LocalStore

PEOPLE, PICTURES = 6, 30
GRACE_DAYS = 3
IMAGES = torch.randint(256, (PICTURES, 1, 5, 5), generator=generator(0, "office")).to(torch.uint8)
IDS = tuple(record_ids(IMAGES))


def _forms(image: torch.Tensor) -> tuple[bytes, ...]:
    """Bytes that give a picture away: raw, as the numbers that models are shown, as PNG, and all of it in base64."""
    raw = image.numpy().tobytes()
    floats = [(image.float() / scale).numpy().tobytes() for scale in (1, 255)]
    png = io.BytesIO()
    Image.fromarray(image[0].numpy()).save(png, "PNG")
    data = png.getvalue()
    body = data[data.index(b"IDAT") + 4 : data.index(b"IEND") - 8]
    plain = (raw, *floats, body)
    return (*plain, *(each for some in plain for each in _in_base64(some)))


def _in_base64(data: bytes) -> Iterator[bytes]:
    """What of it stands in base64, wherever among other bytes it begins."""
    for before in range(3):
        yield base64.b64encode(bytes(before) + data)[4 if before else 0 : -4]


FORMS = {identity: _forms(image) for identity, image in zip(IDS, IMAGES, strict=True)}
PERSONS = {identity: (f"p{number % PEOPLE}",) for number, identity in enumerate(IDS)}
KEY = keys.new()


def opened(home: Path, documents: dict[str, bytes], patch: pytest.MonkeyPatch) -> Office:
    """An office without anything, where the settings of this process point."""
    client = Client(home / "mlartifacts")
    patch.setattr(mlflow, "MlflowClient", lambda *_: client)
    set_home(patch, home)
    patch.setenv("MLFLOW_TRACKING_URI", "http://office.invalid")
    return Office(home, client, documents)


@dataclass
class Training:
    """A training that has begun: its data is fixed, its version is not registered yet."""

    model: str
    split: Split


@dataclass
class Office:
    """The office, and the truth."""

    home: Path
    client: Client
    documents: dict[str, bytes]
    """Audit and verdict that passed, as MLflow keeps them."""
    now: datetime = datetime(2027, 1, 4, 9, tzinfo=UTC)
    truth: dict[str, frozenset[str]] = field(default_factory=dict)
    """What every weights file was really trained on and has not forgotten, by its digest."""
    weights: dict[str, bytes] = field(default_factory=dict)
    asked: dict[str, Request] = field(default_factory=dict)
    concerned: dict[str, frozenset[str]] = field(default_factory=dict)
    """Records of every certified request."""
    certified: set[str] = field(default_factory=set)
    trainings: list[Training] = field(default_factory=list)
    steps: int = 0

    def __post_init__(self) -> None:
        self.store = LocalStore(self.home / "store")
        self.registry = Registry("http://office.invalid")

    def later(self, hours: float) -> None:
        self.now += timedelta(hours=hours)

    # What people do -------------------------------------------------------------------------------------------------

    def begin(self, model: str, pictures: frozenset[int], seed: int) -> None:
        """Ingest a folder and start to train on it."""
        rows = sorted(pictures)
        records = Records(IMAGES[rows], torch.tensor([row % 2 for row in rows]))
        known = {IDS[row]: PERSONS[IDS[row]] for row in rows}
        built = snapshots.build(records, source="office", licence="CC0", class_names=("a", "b"), subjects=known)
        snapshot = tombstones.without_erased(built, tombstones.DROP)
        ids = list(snapshot.manifest.record_ids)
        if len(ids) < 8:
            return
        ids.sort(key=lambda each: hashlib.sha256(f"{seed} {each}".encode()).digest())
        half, sixth = len(ids) // 2, len(ids) // 6
        parts = (ids[:half], ids[half : half + sixth], ids[half + sixth : half + 2 * sixth], ids[half + 2 * sixth :])
        members, calibration, holdout, test = (tuple(sorted(part)) for part in parts)
        split = Split(
            snapshot=snapshot.manifest.digest,
            seed=seed,
            members=members,
            calibration=calibration,
            holdout=holdout,
            test=test,
        )
        folder = self.home / "scratch" / str(self.steps)
        snapshots.save(snapshot, folder)
        keep_snapshot(self.store, folder, snapshot.manifest.digest)
        keep_split(self.store, split)
        for path in folder.iterdir():
            path.unlink()
        self.trainings.append(Training(model, split))

    def finish(self, training: Training) -> None:
        """Register what was trained, as the step does: refused where records were erased meanwhile."""
        self.trainings.remove(training)
        split = training.split
        if tombstones.among(tombstones.load(self.store), split.ids):
            return
        try:
            load_split(self.store, split.digest)
        except UserError:
            return  # purged meanwhile
        tags = Tags(snapshot=split.snapshot, split=split.digest, status="registered", method="pretrain", parent=NONE)
        version = self._register(training.model, "original", tags, frozenset(split.members))
        serve(self.registry, version, "train")

    def request(self, person: int | None, pictures: frozenset[int], model: str) -> None:
        """Somebody asks."""
        name = f"R{len(self.asked)}"
        about: dict[str, Any] = {"subject": f"p{person}"} if person is not None else {}
        if person is None:
            about["records"] = tuple(IDS[each] for each in sorted(pictures))
        asked = Request(id=name, received=self.now, model=model, **about)
        intake.add(self.store, [asked], by="office", now=self.now)
        self.asked[name] = asked

    def change_their_mind(self, request: str) -> None:
        try:
            intake.withdraw(self.store, request, reason="changed their mind", by="office", now=self.now)
        except UserError:
            return

    # What a batch does ----------------------------------------------------------------------------------------------

    def batch(self, outcomes: list[str], *, dies: str, meanwhile: bool) -> CollectResult | None:
        """One run of the compliance pipeline, which may be killed.

        Args:
            outcomes: `promote`, `reject` or `nothing` for each model in turn.
            dies: after which step: `collect`, `promote`, `fulfil`, `certify` or nothing.
            meanwhile: whether a training that had begun registers its original while the batch works.
        """
        name = f"b{self.steps}"
        result = collect(batch=name, now=self.now, lease_hours=2, grace_days=GRACE_DAYS)
        self._look_at_what_was_not_found(result)
        if dies == "collect":
            return result
        for model, outcome in zip(result.left, outcomes * len(result.left), strict=False):
            parent = champion(self.registry.versions(model))
            if parent is not None and outcome != "nothing":
                self._unlearn(parent, name, passes=outcome == "promote")
            if meanwhile:
                for training in list(self.trainings):
                    self.finish(training)
            if dies == "promote":
                return result
            fulfil(batch=name, model=model, now=self.now, grace_days=GRACE_DAYS)
        if dies == "fulfil":
            return result
        self.certify()
        if dies == "certify":
            return result
        self.purge()
        self.certify()
        release(batch=name, now=self.now, grace_days=GRACE_DAYS)
        return result

    def certify(self) -> None:
        """Certify, and hold every new certificate against the truth."""
        done = certify(now=self.now, key=KEY, grace_days=GRACE_DAYS)
        for request, key in done.certificates.items():
            found = statement.parse(dsse.decoded(dsse.read(self.store.read(key)).payload)).predicate
            if key.endswith("1.json"):
                self._judge(request, found)
            assert f'"{self.asked[request].subject}"'.encode() not in self.store.read(key)

    def purge(self) -> None:
        purge(now=self.now, grace_days=GRACE_DAYS)

    def _unlearn(self, parent: Version, batch: str, *, passes: bool) -> None:
        """What the unlearning pipeline registers, made from the version that serves."""
        ids = frozenset(wanted_now(batch, parent.name).ids)
        before = data_of(parent)
        forget = ids & frozenset(load_split(self.store, before.split).members)
        if not forget:
            return
        after = reduce(self.store, before, forget) if passes else before
        tags = Tags(
            requests=parent.tags.requests if passes else {},
            snapshot=after.snapshot,
            split=after.split,
            from_snapshot=before.snapshot,
            from_split=before.split,
            parent=parent.version,
            parent_digest=parent.tags.digest,
            batch=batch,
            method="gradient_matching",
            verdict="passed" if passes else "leaks",
            action="promote" if passes else "person",
            accepted="no",
            statement=NONE,
            forget=hashlib.sha256(repr(sorted(forget)).encode()).hexdigest(),
            forgotten_records=str(len(forget)),
            status="registered" if passes else "rejected",
        )
        truth = self.truth[parent.tags.digest]
        version = self._register(parent.name, "unlearned", tags, truth - forget if passes else truth)
        if passes:
            try:
                serve(self.registry, version, batch, follows=parent)
            except UserError:
                return  # another version serves by now

    def _register(self, model: str, kind: str, tags: Tags, truth: frozenset[str]) -> Version:
        content = hashlib.sha512(f"weights {len(self.weights)}".encode()).digest()
        digest = hashlib.sha256(content).hexdigest()
        self.weights[digest], self.truth[digest] = content, truth
        every = tags.changed(Tags(kind=kind, digest=digest, operation=f"operation {digest}"))
        documents = self.documents if kind == "unlearned" else {}
        number = self.client.register(model, every.written(), content, documents, self.now.timestamp())
        return self.registry.resolve(model, number)

    # What people do on MLflow's page --------------------------------------------------------------------------------

    def move_champion(self, model: str, version: str) -> None:
        self.client.set_registered_model_alias(model, "champion", version)

    def drop_champion(self, model: str) -> None:
        self.client.delete_registered_model_alias(model, "champion")

    def delete_tag(self, model: str, version: str, tag: str) -> None:
        self.client.delete_model_version_tag(model, version, tag)

    def set_tag(self, model: str, version: str, tag: str, value: str) -> None:
        self.client.set_model_version_tag(model, version, tag, value)

    def delete_version(self, model: str, version: str) -> None:
        self.client.delete_model_version(model, version)

    # The truth ------------------------------------------------------------------------------------------------------

    def live(self) -> Iterator[tuple[str, str, dict[str, str], frozenset[str]]]:
        """Model, number, tags and truth of every version whose weights are stored."""
        for name, model in self.client.models.items():
            for number, version in model.versions.items():
                logged = self.client.logged[version.source.removeprefix("models:/")]
                stored = Path(logged.artifact_location) / "model/weights.safetensors"
                if stored.exists():
                    digest = hashlib.sha256(stored.read_bytes()).hexdigest()
                    yield name, number, version.tags, self.truth[digest]

    def records_of(self, request: Request) -> frozenset[str]:
        """Everything of the person that is stored, or was trained on by what is stored."""
        asked = frozenset(request.records)
        manifests = [key for key in self.store.list(SNAPSHOTS) if key.endswith("manifest.json")]
        stored = frozenset(each for key in manifests for each in json.loads(self.store.read(key))["record_ids"])
        trained = frozenset[str]().union(*(truth for *_, truth in self.live()))
        if request.subject is None:
            return asked & (stored | trained)
        return frozenset(each for each in stored if request.subject in PERSONS[each])

    def _look_at_what_was_not_found(self, result: CollectResult) -> None:
        for request in result.nothing_found:
            assert not self.records_of(self.asked[request]), f"{request} is said to be of nothing"

    def _judge(self, request: str, found: Erasure) -> None:
        asked = self.asked[request]
        records = self.records_of(asked) | frozenset(asked.records)
        self.certified.add(request)
        self.concerned[request] = records
        stones = tombstones.load(self.store)
        assert all(request in stones.get(each, ()) for each in self.records_of(asked)), "a record has no tombstone"
        served = {name: model.aliases.get("champion") for name, model in self.client.models.items()}
        for name, number, tags, truth in self.live():
            if asked.model in ("", name) and truth & records:
                assert served[name] != number, f"{request} is certified and {name} {number} serves its records"
                assert tags.get("purge_after", NONE) != NONE, f"{name} {number} holds records of {request} for ever"
        for each in found.models:
            self._judge_model(each, records)

    def _judge_model(self, model: ModelErasure, records: frozenset[str]) -> None:
        if model.after is not None:
            assert not self.truth[model.after.weights] & records, "what serves was trained on the records"
        if model.how == "never_trained":
            held = [number for name, number, _, truth in self.live() if name == model.name and truth & records]
            assert not held, f"never_trained is said of {model.name}, whose versions {held} were"
        elif model.how != "withdrawn":
            assert model.before is not None
            forgot = self.truth[model.before.weights] & records
            assert forgot, "what it was made from was never trained on the records"
            assert model.forgotten.records == len(forgot), "the count is not the request's own"

    # The end --------------------------------------------------------------------------------------------------------

    def work_through(self) -> None:
        """Honour everything that is open, and purge it all."""
        for training in list(self.trainings):
            self.finish(training)
        for _ in range(4):
            self.later(24 * 2)
            self.steps += 1
            self.batch(["promote"], dies="", meanwhile=False)
        self.later(24 * (GRACE_DAYS + 2))
        self.purge()
        self.certify()

    def found_again(self) -> list[str]:
        """What must be gone after that: pixels of erased records and weights trained on them, unless a version that
        holds them serves, since somebody let it (then all of its data is there too, as every batch tells), or the
        request was about another model alone."""
        kept = {name: model.aliases.get("champion") for name, model in self.client.models.items()}
        excused = frozenset[str]()
        for name, number, tags, truth in self.live():
            if kept[name] == number:
                excused |= truth
                if tags.get("withdrawn_for", NONE) != NONE:
                    excused |= frozenset(load_manifest(self.store, tags["snapshot"]).record_ids)
        for request in self.certified:
            if self.asked[request].model:
                excused |= self.concerned[request]
        gone = frozenset[str]().union(*(self.concerned[each] for each in self.certified)) - excused
        contents = [path.read_bytes() for path in self.home.rglob("*") if path.is_file()]
        found = [
            f"pixels of {each[:8]}"
            for each in gone & FORMS.keys()
            if any(form in content for form in FORMS[each] for content in contents)
        ]
        for digest, truth in self.truth.items():
            if truth & gone and any(self.weights[digest] in content for content in contents):
                found.append(f"weights {digest[:8]}")
        return found
