"""A version that forgot, the versions before it, and every copy that they left behind: for tests of what is deleted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from unlearning.core.seeding import generator, initialisation
from unlearning.data.records import Records
from unlearning.learning.encoders import MLPConfig
from unlearning.learning.paradigms.supervised import Supervised, SupervisedConfig
from unlearning.registry.tags import Tags
from unlearning.storage.local import LocalStore


@dataclass(frozen=True)
class Erasure:
    """A version that forgot four records for request R1, those it came from, and every copy they left behind.

    Version 1 is the original with its references, 2 a rejected candidate, 3 serves. Nothing is trained: weights
    are random, and their bytes are what is looked for.
    """

    pixels: tuple[bytes, ...]
    """Of the erased records."""
    ids: tuple[str, ...]
    weights: dict[str, bytes]
    """A layer of every model, by version, and of the reference."""
    snapshots: tuple[str, str]
    """Digests before and after."""
    splits: tuple[str, str]

    @property
    def secrets(self) -> dict[str, bytes]:
        """What must be gone after a purge, by name."""
        erased = {f"record {number}": pixels for number, pixels in enumerate(self.pixels)}
        return erased | {name: layer for name, layer in self.weights.items() if name != "3"}


class Maker:
    """Makes a history where the settings say; one model's at a time."""

    def __init__(self, scratch: Path, model_name: str) -> None:
        from unlearning.core import settings
        from unlearning.storage.open import open_store

        self.where = settings.from_environment()
        self.store, self.root = open_store(self.where.store), open_store(self.where.pipeline_root)
        self.tasks, self.model_name = scratch / "tasks", model_name
        self.layers: dict[str, bytes] = {}
        self.digests: dict[str, str] = {}

    def put(self, key: str, content: Any) -> None:
        from unlearning.core.files import canonical_json

        self.store.create(key, canonical_json(content).encode())

    def data(self) -> None:
        """Snapshot and split with and without the erased records, in the store and as a run's artifacts."""
        from unlearning.data import forget_set, snapshots, splits
        from unlearning.storage.keys import complete_key, snapshot_key, split_key

        about: dict[str, Any] = {"source": "made up", "licence": "CC0", "class_names": ("a", "b")}
        images = torch.randint(256, (40, 1, 12, 12), generator=generator(0, "history")).to(torch.uint8)
        self.before = snapshots.build(Records(images, torch.arange(40) % 2), **about)
        sizes = splits.SplitConfig(members=20, calibration=5, holdout=8, test=7)
        self.split = splits.make_split(self.before.manifest, sizes, seed=0)
        self.ids = self.split.members[:4]
        kept = tuple(each for each in self.before.manifest.record_ids if each not in self.ids)
        self.after = snapshots.build(self.before.rows(kept), **about)
        reduced = {"snapshot": self.after.manifest.digest, "members": self.split.members[4:]}
        self.reduced = self.split.model_copy(update=reduced)
        for snapshot, split in ((self.before, self.split), (self.after, self.reduced)):
            digest = snapshot.manifest.digest
            folder = self.tasks / f"ingest-{digest[:4]}" / "snapshot"
            snapshots.save(snapshot, folder)
            self.store.put_folder(snapshot_key(digest), folder)
            self.put(complete_key(digest), {})
            splits.save(split, self.tasks / f"split-{split.digest[:4]}" / "split")
            self.put(split_key(split.digest), split.model_dump(mode="json"))
        self.forget = forget_set.ForgetSet(kind="records", split=self.split.digest, ids=self.ids)
        forget_set.save(self.forget, self.tasks / "select" / "forget")

    def model(self, name: str, seed: int, folder: str, **made: Any) -> None:
        """Random weights, with where they come from."""
        from unlearning import recipes
        from unlearning.learning import models
        from unlearning.recipes import provenance
        from unlearning.recipes.provenance import Provenance

        with initialisation(seed, f"history {self.model_name}"):
            model = Supervised(SupervisedConfig()).build(MLPConfig(hidden=(16,)), (1, 12, 12), ("a", "b"))
        models.save(model, self.tasks / folder)
        shared: dict[str, Any] = {"seed": 0, "seconds": 1, "device": "cpu", "commit": "c", "split": self.split.digest}
        shared |= {"recipe": recipes.load("digits-supervised"), "snapshot": self.before.manifest.digest}
        provenance.save(Provenance(**shared | made), self.tasks / folder)
        self.layers[name] = next(value for value in model.state_dict().values() if value.ndim == 2).numpy().tobytes()
        self.digests[name] = models.digest(self.tasks / folder)

    def models(self) -> None:
        """The three versions' models, and a reference of the first."""
        from unlearning.core.files import write_json
        from unlearning.storage.keys import references_key

        self.model("1", 1, FOLDERS["1"], method="pretrain")
        for name, seed in (("2", 2), ("3", 3)):
            child = {"method": "finetune", "parent": self.digests["1"], "forget": self.forget.digest}
            self.model(name, seed, FOLDERS[name], **child)
        self.model("reference", 7, "gather/references/models/000", method="pretrain")
        references = self.tasks / "gather/references"
        manifest = {"original": self.digests["1"], "split": self.split.digest, "numbers": [0], "count": 1}
        write_json(references / "references.json", manifest)
        self.store.put_folder(references_key(self.digests["1"]), references)
        write_json(self.tasks / "audit/audit", {"forget": self.forget.digest, "auc": 0.5})

    def tags(self, name: str) -> dict[str, str]:
        none = (
            "from_snapshot",
            "from_split",
            "withdrawn_at",
            "purge_after",
            "withdrawn_for",
            "parent",
            "parent_digest",
        )
        tags = dict.fromkeys(none, "none") | {"status": "rejected" if name == "2" else "registered"}
        if name == "1":
            return tags | {"snapshot": self.before.manifest.digest, "split": self.split.digest}
        return tags | {
            "snapshot": self.after.manifest.digest, "from_snapshot": self.before.manifest.digest,
            "split": self.reduced.digest, "from_split": self.split.digest,
            "parent": "1", "parent_digest": self.digests["1"], "verdict": "leaks" if name == "2" else "passed",
        }  # fmt: skip

    def new(self, name: str, parent: Any = None) -> Any:
        from unlearning.registry.client import NewVersion

        return NewVersion(
            name=self.model_name,
            operation=f"made as {name}",
            kind="unlearned" if parent else "original",
            folder=self.tasks / FOLDERS[name],
            digest=self.digests[name],
            image_shape=(1, 12, 12),
            tags=Tags.model_validate(self.tags(name)),
            description=f"Made as {name}",
            parent=parent,
            files=(self.tasks / "audit/audit",),
        )

    def versions(self) -> None:
        from unlearning.registry.client import Registry

        registry = Registry(self.where.tracking_uri)
        parent = registry.make_champion(registry.register(self.new("1")))
        registry.register(self.new("2", parent))
        served = registry.make_champion(registry.register(self.new("3", parent)))
        registry.set_tags(served, Tags.model_validate({"request.R1": "fulfilled"}))

    def private(self) -> None:
        """Two requests, one of which is certified."""
        from unlearning.compliance.batches import store as batches
        from unlearning.compliance.batches.store import Batch, ModelBatch, Wanted
        from unlearning.compliance.requests import requests
        from unlearning.compliance.requests.requests import Request

        for request, seal in (("R1", "certified"), ("R2", "fulfilled")):
            stone = {"record": self.ids[0], "request": request, "at": "2026-01-01T00:00:00+00:00"}
            asked = {"id": request, "records": self.ids, "received": "2026-01-01T00:00:00Z"}
            requests.keep(self.store, Request.model_validate(asked))
            self.put(f"ledger/{request}/00000001.json", {"kind": "received"})
            self.put(f"seals/{request}/00000007.{seal}.{'0' * 64}", {})
            name, wanted = f"of-{request}", Wanted(records={request: self.ids})
            digest = batches.keep_wanted(self.store, name, self.model_name, wanted)
            work = {"model": self.model_name, "version": "1", "requests": [request], "records": 4, "wanted": digest}
            made = {"id": name, "created": NOW, "until": NOW, "models": [ModelBatch.model_validate(work)]}
            batches.keep(self.store, Batch.model_validate(made))
            self.put(f"tombstones/{self.ids[0]}/{request}", stone)

    def left_behind(self) -> None:
        """Checkpoints, and what a run's tasks made, with a cache that leads to it."""
        from unlearning.core.files import write_json

        ages = {"old-data": (self.before.manifest.digest, 0), "running": ("another", -31), "stale": ("x", 90)}
        for name, (digest, age) in ages.items():
            path = self.where.checkpoints / name / "state.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"model": torch.zeros(2)}, str(path), {"snapshot": digest, "split": "x", "fingerprint": "f"})
            os.utime(path, (NOW.timestamp() - 86_400 * age,) * 2)
        tasks = f"run-{self.model_name}/tasks"
        self.root.put_folder(tasks, self.tasks)
        if isinstance(self.root, LocalStore):
            for name in (FOLDERS["1"], FOLDERS["3"]):
                entry = {"model": {"__kfp_artifact__": True, "uri": str(self.root.root / tasks / name)}}
                write_json(self.root.root / tasks / f".kfp_cache/{name[:3]}.json", entry)
        shutil.rmtree(self.tasks)


FOLDERS = {"1": "pretrain/model", "2": "unlearn/candidate", "3": "again/model"}


def make_erasure(scratch: Path, model_name: str = "tiny") -> Erasure:
    """The history in the store, MLflow, pipeline root and checkpoints that the settings name."""
    maker = Maker(scratch, model_name)
    for make in (maker.data, maker.models, maker.versions, maker.private, maker.left_behind):
        make()
    return Erasure(
        pixels=tuple(image.numpy().tobytes() for image in maker.before.rows(maker.ids).images),
        ids=maker.ids,
        weights=maker.layers,
        snapshots=(maker.before.manifest.digest, maker.after.manifest.digest),
        splits=(maker.split.digest, maker.reduced.digest),
    )


NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


MLFLOW_PATHS = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)  # fmt: skip


def found_in(contents: Mapping[str, bytes], secrets: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Where each secret is still to be found."""
    return {
        name: places
        for name, secret in secrets.items()
        if (places := [path for path, content in contents.items() if secret in content])
    }


def erased_ids(model_name: str = "tiny") -> frozenset[str]:
    """What version 3 of the history has forgotten and the others were trained on."""
    from unlearning.core import settings
    from unlearning.registry.client import Registry
    from unlearning.registry.versions import data_of
    from unlearning.storage.datasets import load_split
    from unlearning.storage.open import open_store

    where = settings.from_environment()
    store, versions = open_store(where.store), Registry(where.tracking_uri).versions(model_name)
    before, after = (load_split(store, data_of(versions[place]).split).members for place in (0, 2))
    return frozenset(before) - frozenset(after)
