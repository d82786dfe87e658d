"""A history of three generations in a real registry and store, as the pipelines write it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from unlearning import recipes
from unlearning.audit.results import Audit, Verdict
from unlearning.core.files import write_json
from unlearning.core.seeding import initialisation
from unlearning.learning import models
from unlearning.learning.encoders import MLPConfig
from unlearning.learning.paradigms.supervised import Supervised, SupervisedConfig
from unlearning.recipes import provenance
from unlearning.recipes.provenance import Provenance
from unlearning.registry.client import NewVersion, Registry, Version
from unlearning.registry.tags import Tags
from unlearning.reporting.summary import Summary
from unlearning.storage.keys import wanted_key
from unlearning.storage.local import LocalStore

Make = Callable[..., Summary]
MODEL, OTHER, APART = "shop-simclr", "shop-supervised", "shelf-simclr"
TIMES = {
    "first": "2027-01-04T09:00:00+00:00",
    "batch-1": "2027-02-01T03:20:00+00:00",
    "batch-2": "2027-03-01T03:10:00+00:00",
}


def digest(*words: object) -> str:
    return hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()


SHOP = digest("snapshot", "shop")
SHOP_1, SHOP_2 = digest("snapshot", "shop", 1), digest("snapshot", "shop", 2)
SHELF = digest("snapshot", "shelf")


def split_of(snapshot: str) -> str:
    return digest("split of", snapshot)


class History:
    """What the example is built in: `runs/mlflow.db` and `runs/store` in a folder.

    `shop-simclr`: version 1 an original; 2 a rejected candidate; 3 honours R1 and R2 (batch-1); 4 honours R3 as
    well (batch-2) and serves. 1 is purged, 2 and 3 are withdrawn. `shop-supervised` was trained on the same
    snapshot: version 2 honours R1 and R2; R3 is pending. `shelf-simclr` was trained on another snapshot.
    """

    def __init__(self, folder: Path, make_summary: Make) -> None:
        self.folder = folder
        self.home = folder / "runs"
        self.registry = Registry(f"sqlite:///{self.home / 'mlflow.db'}")
        self.client = mlflow.MlflowClient(self.registry.uri)
        self.store = LocalStore(self.home / "store")
        self.make_summary = make_summary
        self._model()
        self._shop()
        self._supervised()
        self._shelf()
        self._requests()
        self._data()
        self._purge()

    def _model(self) -> None:
        self.weights = self.folder / "model"
        with initialisation(0, "test"):
            model = Supervised(SupervisedConfig()).build(MLPConfig(hidden=(6,)), (1, 4, 4), ("a", "b"))
        models.save(model, self.weights)
        made = Provenance(
            method="pretrain", recipe=recipes.load("digits-supervised"), seed=0, seconds=1, device="cpu", commit="c",
            snapshot=SHOP, split=split_of(SHOP),
        )  # fmt: skip
        provenance.save(made, self.weights)

    def original(self, name: str, snapshot: str, references: str = "0") -> Version:
        tags = {"snapshot": snapshot, "split": split_of(snapshot), "method": "pretrain", "references": references}
        return self.serve(self.register(name, "original", tags, None), "first")

    def register(self, name: str, kind: str, tags: dict[str, str], parent: Version | None, **changed: Any) -> Version:
        number = len(self.registry.versions(name)) + 1
        keys = (
            "from_snapshot", "from_split", "batch", "forget", "verdict", "superseded_by", "superseded_at",
            "served_at", "withdrawn_at", "withdrawn_for", "purge_after", "purged_at", "statement", "rung", "action",
        )  # fmt: skip
        every = dict.fromkeys(keys, "none") | {"status": "registered", "references": "0", "accepted": "no"}
        link = {"parent": parent.version, "parent_digest": parent.tags.digest} if parent else {}
        if parent:
            link |= {"from_snapshot": parent.tags.snapshot, "from_split": parent.tags.split}
            link |= {key: value for key, value in parent.tags.written().items() if key.startswith("request.")}
        return self.registry.register(
            NewVersion(
                name=name,
                operation=f"operation {number}",
                kind=kind,
                folder=self.weights,
                digest=digest("model", name, number),
                image_shape=(1, 4, 4),
                tags=Tags.model_validate(every | {"parent": "none", "parent_digest": "none"} | link | tags),
                description=f"{kind} number {number}",
                parent=parent,
                **changed,
            )
        )

    def unlearned(self, parent: Version, outcome: str, snapshot: str, batch: str) -> Version:
        number = len(self.registry.versions(parent.name)) + 1
        files = self._evidence(parent.name, digest("model", parent.name, number), outcome)
        tags = {"snapshot": snapshot, "split": split_of(snapshot), "forget": digest("forget", snapshot)}
        tags |= {"method": "gradient_matching", "verdict": outcome, "batch": batch}
        tags |= {"status": "registered" if outcome == "passed" else "rejected"}
        return self.register(parent.name, "unlearned", tags, parent, files=files)

    def _evidence(self, name: str, model: str, outcome: str) -> tuple[Path, Path]:
        """Audit and verdict under the names that the pipeline's artifacts have."""
        summary = self.make_summary(outcome, "unlearned" if outcome == "passed" else None)
        audits = {each: found.audit for each, found in summary.models.items()}
        audits["candidate"] = audits.pop("unlearned").model_copy(update={"model": model})
        audit = Audit(
            records={"forget": 100, "holdout": 300, "retained": 300}, seed=0, split="s", forget="f", models=audits,
            comparisons=summary.verdict.comparisons,
        )  # fmt: skip
        limit = "tested with 5 attacks on 100 forgotten and 300 other records"
        verdict: Verdict = summary.verdict.model_copy(update={"limits": (limit,)})
        folder = self.folder / "evidence" / name / model[:8]
        write_json(folder / "audit", audit.model_dump(mode="json"))
        write_json(folder / "verdict", verdict.model_dump(mode="json"))
        return folder / "audit", folder / "verdict"

    def serve(self, version: Version, when: str) -> Version:
        """Promote, at a time that does not depend on when the test runs."""
        before = [each for each in self.registry.versions(version.name) if "champion" in each.aliases]
        served = self.registry.make_champion(version)
        self.registry.set_tags(served, Tags.model_validate({"served_at": TIMES[when]}))
        for each in before:
            self.registry.set_tags(each, Tags.model_validate({"superseded_at": TIMES[when]}))
        return self.registry.resolve(version.name, version.version)

    def honour(self, version: Version, *requests: str) -> Version:
        for request in requests:
            key = f"certificates/{request}/00000001.json"
            self.store.create(key, b"{}")
            self.registry.set_tags(version, Tags(requests={request: "fulfilled"}, certificates={request: key}))
        return self.registry.resolve(version.name, version.version)

    def _shop(self) -> None:
        first = self.original(MODEL, SHOP, references="16")
        self.unlearned(first, "leaks", SHOP_1, "batch-1")
        third = self.serve(self.unlearned(first, "passed", SHOP_1, "batch-1"), "batch-1")
        third = self.honour(third, "R1", "R2")
        fourth = self.serve(self.unlearned(third, "passed", SHOP_2, "batch-2"), "batch-2")
        self.honour(fourth, "R3")

    def _supervised(self) -> None:
        first = self.original(OTHER, SHOP)
        self.honour(self.serve(self.unlearned(first, "passed", SHOP_1, "batch-1"), "batch-1"), "R1", "R2")

    def _shelf(self) -> None:
        self.original(APART, SHELF)

    def _requests(self) -> None:
        """The ledger's resolutions; R1's is from before the second model was there."""
        found = {"R1": (MODEL,), "R2": (MODEL, OTHER), "R3": (MODEL, OTHER), "R4": (OTHER,)}
        for request, names in found.items():
            received = {"kind": "received", "digest": digest(request)}
            resolved = {"kind": "resolved", "records": 2, "snapshots": [SHOP], "models": list(names)}
            for sequence, details in enumerate((received, resolved), 1):
                event = {"request": request, "sequence": sequence, "details": details}
                self.store.create(f"ledger/{request}/{sequence:08}.json", json.dumps(event).encode())

    def _data(self) -> None:
        for snapshot in (SHOP, SHOP_1, SHOP_2, SHELF, digest("snapshot", "not trained on")):
            self.store.create(f"snapshots/{snapshot}/manifest.json", b"{}")
            self.store.create(f"snapshots/{snapshot}/records.safetensors", b"")
            self.store.create(f"snapshots/{snapshot}.complete", snapshot.encode())
            self.store.create(f"splits/{split_of(snapshot)}.json", b"{}")
        for batch, names in {"batch-1": (MODEL, OTHER), "batch-2": (MODEL,)}.items():
            self.store.create(f"batches/{batch}.json", b"{}")
            for name in names:
                self.store.create(wanted_key(batch, name, digest("wanted", batch, name)), b"[]")
        self.store.create(f"references/{digest('model', MODEL, 1)}/manifest.json", b"{}")

    def _purge(self) -> None:
        first, second, third, _ = self.registry.versions(MODEL)
        location = self.client.get_logged_model(first.tags.logged_model).artifact_location
        get_artifact_repository(location).delete_artifacts()  # type: ignore[no-untyped-call]
        self.store.delete(f"references/{first.tags.digest}/manifest.json")
        self.store.delete(wanted_key("batch-1", MODEL, digest("wanted", "batch-1", MODEL)))
        gone = {"withdrawn_at": TIMES["batch-1"], "withdrawn_for": "R1,R2", "purged_at": TIMES["batch-2"]}
        self.registry.set_tags(first, Tags.model_validate({"status": "purged"} | gone))
        for version, requests, when in ((second, "R1,R2", "batch-1"), (third, "R3", "batch-2")):
            withdrawn = {"status": "withdrawn", "withdrawn_at": TIMES[when], "withdrawn_for": requests}
            written = withdrawn | {"purge_after": "2027-04-01T00:00:00+00:00"}
            self.registry.set_tags(version, Tags.model_validate(written))

    def versions(self, *names: str) -> list[Version]:
        return [version for name in names for version in self.registry.versions(name)]


def grow(database: Path, name: str, count: int) -> None:
    """Give a model `count` versions, each made from the one before, by copying rows: MLflow takes minutes to."""
    with sqlite3.connect(database) as connection:
        for table in ("model_versions", "model_version_tags"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            listed = ", ".join(columns)
            select = f"SELECT {listed} FROM {table} WHERE name = ? AND version = 4"  # noqa: S608 - our own words
            rows = [dict(zip(columns, row, strict=True)) for row in connection.execute(select, (name,))]
            for number in range(5, count + 1):
                changed = {"version": number}
                links = {"parent": str(number - 1), "snapshot": digest(number), "from_snapshot": digest(number - 1)}
                links |= {"digest": digest("grown", number), "status": "registered"}
                for row in rows:
                    given = row | changed
                    if table == "model_version_tags":
                        given["value"] = links.get(str(row["key"]), row["value"])
                    places = ", ".join("?" * len(columns))
                    insert = f"INSERT INTO {table} ({listed}) VALUES ({places})"  # noqa: S608
                    connection.execute(insert, [given[column] for column in columns])
