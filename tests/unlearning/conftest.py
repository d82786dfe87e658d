from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import numpy.typing as npt
import pytest
import torch
from moto.server import ThreadedMotoServer
from safetensors.torch import save_file

from unlearning.encoders import MLPConfig
from unlearning.figures.numbers import Epoch, Evidence, ModelEvidence, Sample
from unlearning.ladder import accepted_statement
from unlearning.paradigms.supervised import Supervised, SupervisedConfig
from unlearning.records import Records
from unlearning.seeding import generator, initialisation
from unlearning.store import LocalStore
from unlearning.summary import Summary

Floats = npt.NDArray[np.float64]
MODELS = ("original", "unlearned", "retrained")
LEFT = {"passed": 0.02, "leaks": 0.3, "over_forgotten": -0.35, "utility_lost": 0.02, "inconclusive": 0.03}
"""How much of the leak is left in the unlearned model."""
SIGNALS = {"view_similarity": 1.0, "loss": 0.8, "gradient_norm": 0.9, "encoder_similarity": 0.3}
REASONS = {
    "passed": "every attack is within 0.05 of the retrained model",
    "leaks": "view_similarity: AUC is 0.11 [0.06, 0.16] above the retrained model, margin 0.05",
    "over_forgotten": "loss: AUC is 0.12 [0.07, 0.17] below the retrained model, margin 0.05",
    "utility_lost": "knn: 8.0 points below the retrained model, margin 5",
    "inconclusive": "combined_retained: the interval [-0.09, 0.10] is wider than the margin of 0.05",
}


def _interval(estimate: float, half: float, level: float = 0.95) -> dict[str, float]:
    values = {"estimate": estimate, "low": max(estimate - half, -1.0), "high": min(estimate + half, 1.0)}
    return {key: round(value, 6) for key, value in values.items()} | {"level": level}


def _attack(name: str, forget: Floats, holdout: Floats) -> dict[str, Any]:
    thresholds = np.sort(np.concatenate([forget, holdout]))[::-1]
    thresholds = thresholds[:: max(1, len(thresholds) // 199)]
    fpr = [0.0, *(float((holdout >= t).mean()) for t in thresholds), 1.0]
    tpr = [0.0, *(float((forget >= t).mean()) for t in thresholds), 1.0]
    auc = float((forget[:, None] > holdout[None, :]).mean())
    caught = float((forget > np.quantile(holdout, 0.99)).mean())
    roc = {"false_positive_rate": fpr, "true_positive_rate": tpr}
    return {"name": name, "auc": _interval(auc, 0.05), "tpr_at_1_fpr": _interval(caught, min(caught, 0.03)), "roc": roc}


def _model(index: int, shift: float, *, supervised: bool, lost: float) -> dict[str, Any]:
    draw = np.random.default_rng(0)  # the same records for every model
    attacks, signals, total = [], [], []
    for signal, strength in SIGNALS.items():
        holdout, forget = draw.normal(size=300), draw.normal(shift * strength, size=100)
        retained = draw.normal(strength, size=300)
        groups = {"forget": forget, "holdout": holdout, "retained": retained}
        edges = np.linspace(-4, 5, 31)
        counts = {key: np.histogram(values, edges)[0].tolist() for key, values in groups.items()}
        means = {f"mean_{key}": float(values.mean()) for key, values in groups.items()}
        signals.append({"name": signal, "edges": edges.tolist(), **counts, **means})
        attacks.append(_attack(signal, forget, holdout))
        total.append((forget, holdout))
    attacks.append(_attack("combined_retained", sum(f for f, _ in total), sum(h for _, h in total)))  # type: ignore[arg-type]
    audit = {"model": f"{index + 6:x}" * 64, "attacks": attacks, "signals": signals}
    accuracies = {"knn": _interval(0.78 - lost, 0.015), "linear_probe": _interval(0.81 - lost / 2, 0.014)}
    accuracies |= {"forget_knn": _interval(0.84 - 0.04 * index, 0.06)}
    if supervised:
        accuracies["classifier"] = _interval(0.844 - lost, 0.012)
    return {
        "digest": f"{index + 1:x}" * 64,
        "seconds": (41.7, 4.3, 39.2)[index],
        "audit": audit | {"retained_auc": _interval(0.74 - 0.01 * index, 0.03)},
        "accuracies": accuracies,
    }


def _verdict(outcome: str, candidate: dict[str, Any], retrained: dict[str, Any]) -> dict[str, Any]:
    half = 0.09 if outcome == "inconclusive" else 0.02
    pairs = zip(candidate["audit"]["attacks"], retrained["audit"]["attacks"], strict=True)
    return {
        "outcome": outcome,
        "reasons": [REASONS[outcome]],
        "auc_margin": 0.05,
        "utility_margin": 0.05,
        "comparisons": [
            {"attack": a["name"], "difference": _interval(a["auc"]["estimate"] - b["auc"]["estimate"], half, 0.9)}
            for a, b in pairs
        ],
        "utility_lost": {
            name: _interval(
                retrained["accuracies"][name]["estimate"] - candidate["accuracies"][name]["estimate"], 0.01, 0.9
            )
            for name in ("knn", "linear_probe")
        },
    }


def _rungs(
    outcome: str, promoted: str | None, retrained: str | None, stronger: int, models: dict[str, Any]
) -> list[dict[str, Any]]:
    """The candidates of a run: `stronger` that leaked, the unlearned one, and perhaps an exactly retrained one."""
    tried = [(f"stronger_{rung}" if rung else "first", "leaks", "stronger") for rung in range(stronger)]
    last = {"unlearned": "promote" if outcome == "passed" else "accept", "retrained": "retrain", None: "person"}
    tried.append((f"stronger_{stronger}" if stronger else "first", outcome, last[promoted]))
    if retrained:
        tried[-1] = (*tried[-1][:2], "retrain")
        served = "promote" if retrained == "passed" else "accept"
        tried.append(("retrained", retrained, served if promoted == "retrained" else "person"))
    return [
        {
            "rung": rung,
            "method": "retrain" if rung == "retrained" else "gradient_penalty",
            "settings": {"weight": 3.0**index, "optimisation": {"epochs": 15}},
            "digest": f"{index + 9:x}" * 64,
            "seconds": 4.3,
            "verdict": _verdict(judged, models["unlearned"], models["retrained"]),
            "action": action,
            "version": str(index + 2),
        }
        for index, (rung, judged, action) in enumerate(tried)
    ]


def _summary(
    outcome: str = "passed",
    promoted: str | None = "unlearned",
    retrained: str | None = None,
    *,
    stronger: int = 0,
    supervised: bool = False,
) -> Summary:
    lost = 0.08 if outcome == "utility_lost" else 0.006
    models = {
        name: _model(index, shift, supervised=supervised, lost=less)
        for index, (name, shift, less) in enumerate(
            zip(MODELS, (1.0, LEFT[outcome], 0.0), (0, lost, 0.004), strict=True)
        )
    }
    rungs = _rungs(outcome, promoted, retrained, stronger, models)
    last = rungs[-1]
    versions = {"original": "1"} | {
        "retrained" if rung["rung"] == "retrained" else "unlearned": rung["version"] for rung in rungs
    }
    document = {
        "run_id": "20240611T101500-5f2c",
        "created": "2024-06-11T10:15:00Z",
        "recipe": {
            "paradigm": {"name": "supervised" if supervised else "simclr", "temperature": 0.2},
            "unlearning": {"method": "gradient_penalty", "penalty": 1.0, "epochs": 15, "layers": ["backbone", "head"]},
        },
        "seed": 7,
        "commit": "0123abc",
        "versions": {"unlearning": "0.1.0", "torch": "2.14.1"},
        "machine": {"device": "cpu", "cores": "2"},
        "paradigm": "supervised" if supervised else "simclr",
        "method": "gradient_penalty",
        "snapshot": {"digest": "a" * 64, "source": "fashion_mnist", "licence": "MIT", "records": 5000, "duplicates": 3},
        "split": {"digest": "b" * 64, "seed": 7, "sizes": {"members": 500, "holdout": 300, "test": 2000}},
        "forget": {"digest": "c" * 64, "kind": "random", "records": 100},
        "models": models,
        "verdict": _verdict(outcome, models["unlearned"], models["retrained"]),
        "rungs": rungs,
        "promoted": promoted,
        "accepted": accepted_statement(last["verdict"]["reasons"]) if last["action"] == "accept" else None,
        "registry": {
            "tracking_uri": "sqlite:///runs/mlflow.db",
            "model_name": "fashion-encoder",
            "versions": versions,
            "champion": last["version"] if promoted else "1",
        },
    }
    return Summary.model_validate(document)


@pytest.fixture
def make_summary() -> Callable[..., Summary]:
    """Builds a realistic summary: `make_summary(outcome, promoted, retrained, stronger=..., supervised=...)`."""
    return _summary


@pytest.fixture
def edited() -> Callable[..., Summary]:
    """A summary with one value replaced: `edited(summary, value, "registry", "model_name")`."""

    def edit(summary: Summary, value: Any, *path: str | int) -> Summary:
        document = summary.model_dump(mode="json")
        place: Any = document
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value
        return Summary.model_validate(document)

    return edit


def _evidence(paradigm: str = "simclr", *, training: bool = True, forgotten: int = 40) -> Evidence:
    """Forgotten records stand where members do on the original, and among the never seen afterwards."""
    draw = np.random.default_rng(7)
    sizes = {"forget": forgotten, "retained": 90, "holdout": 70}

    def sample(centre: float, count: int) -> Sample:
        return Sample(values=tuple(np.round(draw.normal(centre, 0.3, count), 4).tolist()))

    def model(index: int) -> ModelEvidence:
        centres = {"forget": (0.0, 0.9, 1.0)[index], "retained": 0.0, "holdout": 1.0}
        return ModelEvidence(
            log_gradients={group: sample(centres[group], size) for group, size in sizes.items()},
            losses={group: sample(2 + centres[group], size) for group, size in sizes.items()},
            embedding={
                group: tuple((float(x), float(y)) for x, y in np.round(draw.normal(0, 0.7, (size, 2)), 4))
                for group, size in sizes.items()
            },
        )

    def epoch(number: int) -> Epoch:
        apart = number / 10
        likely = {side: sample(0.5 + 0.04 * number * (side == "members"), 30) for side in ("members", "strangers")}
        likely = {side: Sample(values=tuple(np.clip(s.values, 0, 1).tolist())) for side, s in likely.items()}
        return Epoch(
            epoch=number,
            view_similarity={"members": sample(0.5 + 0.3 * apart, 30), "strangers": sample(0.5, 30)},
            probability={} if paradigm == "byol" else likely,
        )

    return Evidence(
        paradigm=paradigm,
        digests={name: f"{index + 1:x}" * 64 for index, name in enumerate(MODELS)},
        models={name: model(index) for index, name in enumerate(MODELS)},
        training=tuple(epoch(number) for number in (0, 1, 2, 4, 7, 10)) if training else (),
    )


@pytest.fixture
def make_evidence() -> Callable[..., Evidence]:
    """Evidence of the models of `make_summary`: `make_evidence(paradigm, training=..., forgotten=...)`."""
    return _evidence


BUCKET = "erasure"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A fake S3 on this machine."""
    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    yield f"http://{host}:{port}"
    started.stop()


@pytest.fixture
def aws(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A client of the fake S3 with one empty bucket, `erasure`; nothing of the developer's own AWS set-up is seen."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    settings = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    for entry in _versions(client):
        client.delete_object(Bucket=BUCKET, Key=entry["Key"], VersionId=entry["VersionId"])
    client.delete_bucket(Bucket=BUCKET)


def _versions(client: Any) -> list[Any]:
    pages = client.get_paginator("list_object_versions").paginate(Bucket=BUCKET)
    return [each for page in pages for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))]


@pytest.fixture
def versions_in(aws: Any) -> Callable[[], list[Any]]:
    """Everything the bucket holds, what was deleted or replaced and the markers over it too."""
    return lambda: _versions(aws)


@dataclass(frozen=True)
class History:
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
        from unlearning import settings
        from unlearning.store import open_store

        self.where = settings.from_environment()
        self.store, self.root = open_store(self.where.store), open_store(self.where.pipeline_root)
        self.tasks, self.model_name = scratch / "tasks", model_name
        self.layers: dict[str, bytes] = {}
        self.digests: dict[str, str] = {}

    def put(self, key: str, content: Any) -> None:
        from unlearning.files import canonical_json

        self.store.create(key, canonical_json(content).encode())

    def data(self) -> None:
        """Snapshot and split with and without the erased records, in the store and as a run's artifacts."""
        from unlearning import forgetting, snapshots, splits
        from unlearning.steps.ingest import complete_key, snapshot_key
        from unlearning.steps.split import split_key

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
        self.forget = forgetting.ForgetSet(kind="records", split=self.split.digest, ids=self.ids)
        forgetting.save(self.forget, self.tasks / "select" / "forget")

    def model(self, name: str, seed: int, folder: str, **made: Any) -> None:
        """Random weights, with where they come from."""
        from unlearning import models, provenance, recipes
        from unlearning.provenance import Provenance

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
        from unlearning.files import write_json
        from unlearning.steps.references import references_key

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
            "parent": "1", "parent_digest": self.digests["1"],
        }  # fmt: skip

    def new(self, name: str, parent: Any = None) -> Any:
        from unlearning.registry import NewVersion

        return NewVersion(
            name=self.model_name,
            operation=f"made as {name}",
            kind="unlearned" if parent else "original",
            folder=self.tasks / FOLDERS[name],
            digest=self.digests[name],
            image_shape=(1, 12, 12),
            tags=self.tags(name),
            description=f"Made as {name}",
            parent=parent,
            files=(self.tasks / "audit/audit",),
        )

    def versions(self) -> None:
        from unlearning.registry import Registry

        registry = Registry(self.where.tracking_uri)
        parent = registry.make_champion(registry.register(self.new("1")))
        registry.register(self.new("2", parent))
        served = registry.make_champion(registry.register(self.new("3", parent)))
        registry.set_tags(served, {"request.R1": "fulfilled"})

    def private(self) -> None:
        """Two requests, one of which is certified."""
        for request, seal in (("R1", "certified"), ("R2", "fulfilled")):
            stone = {"record": self.ids[0], "request": request, "at": "2026-01-01T00:00:00+00:00"}
            self.put(f"requests/{request}.json", {"id": request, "records": list(self.ids)})
            self.put(f"ledger/{request}/00000001.json", {"kind": "received"})
            self.put(f"seals/{request}/00000007.{seal}.{'0' * 64}", {})
            self.put(f"batches/of-{request}.json", {"requests": [request], "models": [self.model_name]})
            self.put(f"batches/of-{request}/{self.model_name}.json", {"records": list(self.ids)})
            self.put(f"tombstones/{self.ids[0]}/{request}", stone)

    def left_behind(self) -> None:
        """Checkpoints, and what a run's tasks made, with a cache that leads to it."""
        from unlearning.files import write_json

        ages = {"old-data": (self.before.manifest.digest, 0), "running": ("another", -31), "stale": ("x", 90)}
        for name, (digest, age) in ages.items():
            path = self.where.checkpoints / name / "state.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"model": torch.zeros(2)}, str(path), {"snapshot": digest, "split": "x"})
            os.utime(path, (NOW.timestamp() - 86_400 * age,) * 2)
        tasks = f"run-{self.model_name}/tasks"
        self.root.put_folder(tasks, self.tasks)
        if isinstance(self.root, LocalStore):
            for name in (FOLDERS["1"], FOLDERS["3"]):
                entry = {"model": {"__kfp_artifact__": True, "uri": str(self.root.root / tasks / name)}}
                write_json(self.root.root / tasks / f".kfp_cache/{name[:3]}.json", entry)
        shutil.rmtree(self.tasks)


FOLDERS = {"1": "pretrain/model", "2": "unlearn/candidate", "3": "again/model"}


def make_history(scratch: Path, model_name: str = "tiny") -> History:
    """The history in the store, MLflow, pipeline root and checkpoints that the settings name."""
    maker = Maker(scratch, model_name)
    for make in (maker.data, maker.models, maker.versions, maker.private, maker.left_behind):
        make()
    return History(
        pixels=tuple(image.numpy().tobytes() for image in maker.before.rows(maker.ids).images),
        ids=maker.ids,
        weights=maker.layers,
        snapshots=(maker.before.manifest.digest, maker.after.manifest.digest),
        splits=(maker.split.digest, maker.reduced.digest),
    )


NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def finished_history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, History]:
    """Made once, since MLflow takes seconds; use `history`."""
    folder = tmp_path_factory.mktemp("history")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNING_HOME", str(folder / "home"))
        for name in ("UNLEARNING_STORE", "UNLEARNING_CHECKPOINTS", "UNLEARNING_PIPELINE_ROOT", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        return folder / "home", make_history(folder / "scratch")


@pytest.fixture
def history(home: Path, finished_history: tuple[Path, History]) -> History:
    """The history on this machine, in a home of this test alone."""
    made_in, history = finished_history
    shutil.copytree(made_in, home)
    with closing(sqlite3.connect(home / "mlflow.db")) as database, database:
        for table, column in MLFLOW_PATHS:
            moved = (str(made_in), str(home))
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", moved)  # noqa: S608
    for entry in home.rglob(".kfp_cache/*"):
        entry.write_text(entry.read_text().replace(str(made_in), str(home)))
    return history


MLFLOW_PATHS = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)  # fmt: skip


@pytest.fixture
def more_history() -> Callable[[Path, str], History]:
    """The same once more, or elsewhere, for another model."""
    return make_history


def found_in(contents: Mapping[str, bytes], secrets: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Where each secret is still to be found."""
    return {
        name: places
        for name, secret in secrets.items()
        if (places := [path for path, content in contents.items() if secret in content])
    }


@pytest.fixture
def leaks(home: Path, history: History) -> Callable[[], dict[str, list[str]]]:
    """Where anything that must be gone is still to be found, in any file below the home."""
    return lambda: found_in(
        {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()},
        history.secrets,
    )
