from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
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
    """A layer of every model, by version; `reference` and `leftover` too."""
    snapshots: tuple[str, str]
    """Digests before and after."""
    splits: tuple[str, str]
    root: str
    """The pipeline root."""

    @property
    def secrets(self) -> dict[str, bytes]:
        """What must be gone after a purge, by name."""
        erased = {f"record {number}": pixels for number, pixels in enumerate(self.pixels)}
        return erased | {name: layer for name, layer in self.weights.items() if name != "3"}


def _weights(seed: int, folder: Path, made: Any) -> tuple[str, bytes]:
    """Save a model; its digest and the bytes of a layer."""
    from unlearning import models, provenance

    with initialisation(seed, "history"):
        model = Supervised(SupervisedConfig()).build(MLPConfig(hidden=(16,)), (1, 12, 12), ("a", "b"))
    models.save(model, folder)
    provenance.save(made, folder)
    layer = next(value for value in model.state_dict().values() if value.ndim == 2)
    return models.digest(folder), layer.numpy().tobytes()


def make_history(scratch: Path, model_name: str = "tiny") -> History:
    """The history in the store, MLflow, pipeline root and checkpoints that the settings name."""
    from unlearning import forgetting, recipes, settings, snapshots, splits
    from unlearning.files import canonical_json, write_json
    from unlearning.provenance import Provenance
    from unlearning.registry import NewVersion, Registry
    from unlearning.steps.ingest import complete_key, snapshot_key
    from unlearning.steps.references import references_key
    from unlearning.steps.split import split_key
    from unlearning.store import open_store

    where = settings.from_environment()
    store, root, tasks = open_store(where.store), open_store(where.pipeline_root), scratch / "tasks"

    def put(key: str, content: Any) -> None:
        store.create(key, canonical_json(content).encode())

    images = torch.randint(256, (40, 1, 12, 12), generator=generator(0, "history")).to(torch.uint8)
    before = snapshots.build(Records(images, torch.arange(40) % 2), source="x", licence="CC0", class_names=("a", "b"))
    split = splits.make_split(before.manifest, splits.SplitConfig(members=20, calibration=5, holdout=8, test=7), seed=0)
    ids = split.members[:4]
    kept = tuple(each for each in before.manifest.record_ids if each not in ids)
    after = snapshots.build(before.rows(kept), source="x", licence="CC0", class_names=("a", "b"))
    reduced = split.model_copy(update={"snapshot": after.manifest.digest, "members": split.members[4:]})
    for snapshot in (before, after):
        folder = tasks / f"ingest-{snapshot.manifest.digest[:4]}" / "snapshot"
        snapshots.save(snapshot, folder)
        store.put_folder(snapshot_key(snapshot.manifest.digest), folder)
        put(complete_key(snapshot.manifest.digest), {})
    for each in (split, reduced):
        splits.save(each, tasks / f"split-{each.digest[:4]}" / "split")
        put(split_key(each.digest), each.model_dump(mode="json"))
    forget = forgetting.ForgetSet(kind="records", split=split.digest, ids=ids)
    forgetting.save(forget, tasks / "select" / "forget")

    made: dict[str, Any] = {
        "recipe": recipes.load("digits-supervised"), "seed": 0, "seconds": 1, "device": "cpu", "commit": "c",
        "snapshot": before.manifest.digest, "split": split.digest,
    }  # fmt: skip
    original = Provenance(method="pretrain", **made)
    digests, layers = {}, {}
    folders = {"1": tasks / "pretrain" / "model", "2": tasks / "unlearn" / "candidate", "3": tasks / "again" / "model"}
    digests["1"], layers["1"] = _weights(1, folders["1"], original)
    child = Provenance(method="finetune", parent=digests["1"], forget=forget.digest, **made)
    for version in ("2", "3"):
        digests[version], layers[version] = _weights(int(version), folders[version], child)
    audit = tasks / "audit" / "audit"
    write_json(audit, {"forget": forget.digest, "auc": 0.5})

    references = tasks / "gather" / "references"
    _, layers["reference"] = _weights(7, references / "models" / "000", original)
    manifest = {"original": digests["1"], "split": split.digest, "numbers": [0], "count": 1}
    write_json(references / "references.json", manifest)
    store.put_folder(references_key(digests["1"]), references)

    registry = Registry(where.tracking_uri)
    none = dict.fromkeys(("from_snapshot", "from_split", "withdrawn_at", "purge_after", "withdrawn_for"), "none")
    base = none | {"snapshot": before.manifest.digest, "split": split.digest, "parent": "none", "parent_digest": "none"}
    derived = {
        "snapshot": after.manifest.digest, "split": reduced.digest, "from_snapshot": before.manifest.digest,
        "from_split": split.digest, "parent": "1", "parent_digest": digests["1"],
    }  # fmt: skip
    parent = None
    for version, tags in (("1", {"status": "registered"}), ("2", {"status": "rejected"}), ("3", {"status": "x"})):
        new = NewVersion(
            name=model_name, operation=version, kind="original" if version == "1" else "unlearned",
            folder=folders[version], digest=digests[version], image_shape=(1, 12, 12),
            tags=base | (derived if parent else {}) | tags, description=f"Made as {version}", parent=parent,
            files=(audit,),
        )  # fmt: skip
        registered = registry.register(new)
        parent = parent or registered
        if version != "2":
            registry.make_champion(registered)
    registry.set_tags(registry.resolve(model_name), {"request.R1": "fulfilled"})
    for request, seal in (("R1", "certified"), ("R2", "fulfilled")):
        put(f"requests/{request}.json", {"id": request, "records": list(ids)})
        put(f"ledger/{request}/00000001.json", {"kind": "received"})
        put(f"seals/{request}/00000007.{seal}.{'0' * 64}", {})
        put(f"batches/of-{request}.json", {"requests": [request], "models": [model_name]})
        put(f"batches/of-{request}/{model_name}.json", {"records": list(ids)})
        put(f"tombstones/{ids[0]}/{request}", {"record": ids[0], "request": request, "at": "2026-01-01T00:00:00+00:00"})

    for name, digest, age in (("old-data", before.manifest.digest, 0), ("running", "another", -31), ("stale", "x", 90)):
        path = where.checkpoints / name / "state.safetensors"
        path.parent.mkdir(parents=True)
        save_file({"model": torch.zeros(2)}, str(path), {"snapshot": digest, "split": "x"})
        os.utime(path, (NOW.timestamp() - 86_400 * age,) * 2)
    root.put_folder("run-1/tasks", tasks)
    if isinstance(root, LocalStore):
        for name in ("pretrain/model", "again/model"):
            entry = {"model": {"__kfp_artifact__": True, "uri": str(root.root / "run-1/tasks" / name)}}
            write_json(root.root / "run-1/tasks/.kfp_cache" / f"{name[:3]}.json", entry)
    shutil.rmtree(tasks)
    return History(
        pixels=tuple(image.numpy().tobytes() for image in before.rows(ids).images),
        ids=ids,
        weights=layers,
        snapshots=(before.manifest.digest, after.manifest.digest),
        splits=(split.digest, reduced.digest),
        root=where.pipeline_root,
    )


NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def history(home: Path, tmp_path: Path) -> History:
    """The history on this machine, in an empty home."""
    del home
    return make_history(tmp_path / "scratch")


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
