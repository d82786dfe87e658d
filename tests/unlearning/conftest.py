from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests import services
from tests.unlearning.erasures import MLFLOW_PATHS, Erasure, found_in, make_erasure
from tests.unlearning.histories import History
from unlearning.audit.escalation import accepted_statement
from unlearning.audit.inspection_results import Epoch, InspectionResults, ModelEvidence, Neighbourhood, Sample
from unlearning.compliance.certificates.predicate import LedgerHead, ModelErasure, Purge, Times
from unlearning.compliance.certificates.statement import Statement, build
from unlearning.registry.versions import Version
from unlearning.reporting.summary import Summary

Floats = npt.NDArray[np.float64]
MODELS = ("original", "unlearned", "retrained")
LEFT = {
    "passed": 0.02, "leaks": 0.3, "over_forgotten": -0.35, "utility_lost": 0.02, "diverged": 1.0, "inconclusive": 0.03,
}  # fmt: skip
"""How much of the leak is left in the unlearned model."""
SIGNALS = {"view_similarity": 1.0, "loss": 0.8, "gradient_norm": 0.9, "encoder_similarity": 0.3}
REASONS = {
    "passed": "every attack is within 0.05 of the retrained model",
    "leaks": "view_similarity: AUC is 0.11 [0.06, 0.16] above the retrained model, margin 0.05",
    "over_forgotten": "loss: AUC is 0.12 [0.07, 0.17] below the retrained model, margin 0.05",
    "utility_lost": "knn: 8.0 points below the retrained model, margin 5",
    "diverged": "gradient_matching diverged and made no model (stage 1: the loss became nan in epoch 2)",
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
        "audit": audit | {"retained_auc": _interval(0.74 - 0.01 * index, 0.03)} | _two_versions(index),
        "accuracies": accuracies,
    }


def _two_versions(index: int) -> dict[str, Any]:
    """None of the original, which is the other version of the others."""
    more = 0.02 * index
    pair = {"both": _interval(0.81 + more, 0.03), "old_alone": _interval(0.81, 0.03), "retained": 300}
    return {"two_versions": pair | {"difference": _interval(more, 0.015, 0.9)} if index else None}


def _verdict(outcome: str, models: dict[str, Any], compared_with: str) -> dict[str, Any]:
    """References show what the retrained model shows, but it is the original that the accuracy is compared with."""
    half = 0.09 if outcome == "inconclusive" else 0.02
    candidate, retrained = models["unlearned"], models["retrained"]
    useful = retrained if compared_with == "retrained" else models["original"]
    pairs = zip(candidate["audit"]["attacks"], retrained["audit"]["attacks"], strict=True)
    return {
        "outcome": outcome,
        "compared_with": compared_with,
        "reasons": [REASONS[outcome]],
        "auc_margin": 0.05,
        "utility_margin": 0.05,
        "comparisons": [
            {
                "attack": a["name"],
                "reference": compared_with,
                "difference": _interval(a["auc"]["estimate"] - b["auc"]["estimate"], half, 0.9),
            }
            for a, b in pairs
        ],
        "utility_lost": {
            name: _interval(
                useful["accuracies"][name]["estimate"] - candidate["accuracies"][name]["estimate"], 0.01, 0.9
            )
            for name in ("knn", "linear_probe")
        },
    }


def _attempts(
    outcome: str, promoted: str | None, retrained: str | None, stronger: int, models: dict[str, Any], compared_with: str
) -> list[dict[str, Any]]:
    """The candidates of a run: `stronger` that leaked, the unlearned one, and perhaps an exactly retrained one."""
    tried = [(f"stronger_{attempt}" if attempt else "first", "leaks", "stronger") for attempt in range(stronger)]
    last = {"unlearned": "promote" if outcome == "passed" else "accept", "retrained": "retrain", None: "person"}
    tried.append((f"stronger_{stronger}" if stronger else "first", outcome, last[promoted]))
    if retrained:
        tried[-1] = (*tried[-1][:2], "retrain")
        served = "promote" if retrained == "passed" else "accept"
        tried.append(("retrained", retrained, served if promoted == "retrained" else "person"))
    return [
        {
            "name": attempt,
            "method": "retrain" if attempt == "retrained" else "gradient_matching",
            "settings": {"weight": 3.0**index, "optimisation": {"epochs": 15}},
            "digest": f"{index + 9:x}" * 64,
            "seconds": 4.3,
            "verdict": _verdict(judged, models, compared_with),
            "action": action,
            "version": str(index + 2),
        }
        for index, (attempt, judged, action) in enumerate(tried)
    ]


def _summary(
    outcome: str = "passed",
    promoted: str | None = "unlearned",
    retrained: str | None = None,
    *,
    stronger: int = 0,
    supervised: bool = False,
    compared_with: str = "retrained",
) -> Summary:
    lost = 0.08 if outcome == "utility_lost" else 0.006
    models = {
        name: _model(index, shift, supervised=supervised, lost=less)
        for index, (name, shift, less) in enumerate(
            zip(MODELS, (1.0, LEFT[outcome], 0.0), (0, lost, 0.004), strict=True)
        )
    }
    attempts = _attempts(outcome, promoted, retrained, stronger, models, compared_with)
    last = attempts[-1]
    versions = {"original": "1"} | {
        "retrained" if attempt["name"] == "retrained" else "unlearned": attempt["version"] for attempt in attempts
    }
    document = {
        "run_id": "20240611T101500-5f2c",
        "created": "2024-06-11T10:15:00Z",
        "recipe": {
            "paradigm": {"name": "supervised" if supervised else "simclr", "temperature": 0.2},
            "unlearning": {"method": "gradient_matching", "penalty": 1.0, "epochs": 15, "layers": ["backbone", "head"]},
        },
        "seed": 7,
        "commit": "0123abc",
        "versions": {"unlearning": "0.1.0", "torch": "2.14.1"},
        "machine": {"device": "cpu", "cores": "2"},
        "paradigm": "supervised" if supervised else "simclr",
        "method": "gradient_matching",
        "snapshot": {"digest": "a" * 64, "source": "fashion_mnist", "licence": "MIT", "records": 5000, "duplicates": 3},
        "split": {"digest": "b" * 64, "seed": 7, "sizes": {"members": 500, "holdout": 300, "test": 2000}},
        "forget": {"digest": "c" * 64, "kind": "random", "records": 100},
        "models": {name: model for name, model in models.items() if name != "retrained" or compared_with == name},
        "verdict": _verdict(outcome, models, compared_with),
        "attempts": attempts,
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


@pytest.fixture(scope="session")
def make_summary() -> Callable[..., Summary]:
    """Builds a realistic summary: `make_summary(outcome, promoted, retrained, stronger=..., supervised=...,
    compared_with=...)`."""
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


def _audit_result(outcome: str = "passed", statement: str | None = None) -> dict[str, Any]:
    attacks = [
        {
            "name": name,
            "auc_before": _interval(0.5 + 0.3 * strength, 0.05),
            "auc": _interval(0.5 + 0.01 * strength, 0.05),
            "reference": "retrained",
            "gap": _interval(0.01 * strength, 0.03, 0.9),
            "gap_simultaneous": _interval(0.01 * strength, 0.05),
        }
        for name, strength in SIGNALS.items()
    ]
    return {
        "outcome": outcome,
        "reasons": [REASONS[outcome]],
        "statement": statement,
        "forgotten": 100,
        "strangers": 300,
        "attacks": attacks,
        "auc_margin": 0.05,
        "utility_margin": 0.05,
        "utility_lost": {"knn": _interval(0.002, 0.01, 0.9), "linear_probe": _interval(0.001, 0.01, 0.9)},
        "smallest_detectable_auc": 0.581,
        "limits": ["tested with 4 attacks on 100 forgotten and 300 other records", "other attacks may see more"],
    }


def _model_erasure(how: str = "unlearned", name: str = "fashion-encoder") -> dict[str, Any]:
    data = {"snapshot": "a" * 64, "split": "b" * 64}
    before = {"version": "1", "weights": "1" * 64}
    if how == "never_trained":
        held = {"before": before, "after": before} if name else {"before": None, "after": None}
        kept = {"data_before": {"snapshot": "a" * 64}, "data_after": {"snapshot": "e" * 64}}
        return {"name": name, "how": how, **held, **kept, "forgotten": {"records": 3}}
    accepted = how == "accepted"
    return {
        "name": name,
        "how": how,
        "before": before,
        "after": {"version": "2", "weights": "2" * 64},
        "data_before": data,
        "data_after": data | {"snapshot": "e" * 64},
        "forgotten": {"records": 100, "forget_set": "c" * 64},
        "made": {
            "method": "retrain" if how == "retrained" else "gradient_matching",
            "settings": {"weight": 0.5, "optimisation": {"epochs": 15, "learning_rate": 0.001}},
            "rung": "retrained" if how == "retrained" else "first",
            "seed": 7,
            "commit": "0123abc",
        },
        "audit": _audit_result(
            "inconclusive" if accepted else "passed",
            accepted_statement([REASONS["inconclusive"]]) if accepted else None,
        ),
    }


def _certificate_parts(*hows: str, issued: str = "2024-06-12T09:00:00Z") -> dict[str, Any]:
    """What `certificates.build` is given; the models are called after their number."""
    times = {"received": "2024-06-01T08:00:00Z", "due": "2024-07-01T08:00:00Z", "fulfilled": "2024-06-11T10:15:00Z"}
    artefacts = [{"kind": "model", "objects": 3}, {"kind": "references", "objects": 48}]
    models = [
        ModelErasure.model_validate(_model_erasure(how, f"encoder-{number}"))
        for number, how in enumerate(hows or ("unlearned",), start=1)
    ]
    purge = {"model": "encoder-1", "version": "1", "artefacts": artefacts}
    return {
        "request": "CASE-2024-17",
        "legal_basis": "GDPR Art. 17",
        "times": Times.model_validate(times | {"issued": issued}),
        "models": models,
        "purged": (Purge.model_validate(purge | {"at": "2024-06-11T11:00:00Z", "artefacts": artefacts[1:]}),),
        "to_be_purged": (Purge.model_validate(purge | {"at": "2024-07-11T11:00:00Z", "artefacts": artefacts[:1]}),),
        "ledger": LedgerHead(sequence=6, sha256="d" * 64),
        "forbidden": ("f" * 64, "jane.doe@example.org"),
    }


@pytest.fixture(scope="session")
def certificate_parts() -> Callable[..., dict[str, Any]]:
    """Arguments of `certificates.build`: `certificate_parts("unlearned", "accepted", issued=...)`."""
    return _certificate_parts


@pytest.fixture(scope="session")
def model_erasure() -> Callable[..., dict[str, Any]]:
    """The document of one model's erasure: `model_erasure(how, name)`."""
    return _model_erasure


@pytest.fixture(scope="session")
def make_statement() -> Callable[..., Statement]:
    """A realistic certificate, unsigned: `make_statement("retrained", issued=...)`."""
    return lambda *hows, **given: build(**_certificate_parts(*hows, **given))


def _evidence(paradigm: str = "simclr", *, training: bool = True, forgotten: int = 40) -> InspectionResults:
    """Forgotten records stand where members do on the original, and among the non-members afterwards."""
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
            neighbours={
                group: Neighbourhood(cosine=sample(0.9, sizes[group]), same_class=0.8, kept=(1.0, 0.6, 0.5)[index])
                for group in ("forget", "holdout")
            },
        )

    def epoch(number: int) -> Epoch:
        apart = number / 10
        likely = {side: sample(0.5 + 0.04 * number * (side == "members"), 30) for side in ("members", "non_members")}
        likely = {side: Sample(values=tuple(np.clip(s.values, 0, 1).tolist())) for side, s in likely.items()}
        return Epoch(
            epoch=number,
            view_similarity={"members": sample(0.5 + 0.3 * apart, 30), "non_members": sample(0.5, 30)},
            probability={} if paradigm == "byol" else likely,
        )

    return InspectionResults(
        paradigm=paradigm,
        digests={name: f"{index + 1:x}" * 64 for index, name in enumerate(MODELS)},
        models={name: model(index) for index, name in enumerate(MODELS)},
        training=tuple(epoch(number) for number in (0, 1, 2, 4, 7, 10)) if training else (),
    )


@pytest.fixture
def make_evidence() -> Callable[..., InspectionResults]:
    """Evidence of the models of `make_summary`: `make_evidence(paradigm, training=..., forgotten=...)`."""
    return _evidence


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Versions of three models in a real registry; do not change it."""
    return History(tmp_path_factory.mktemp("history"), _summary)


@pytest.fixture
def at_history(history: History, monkeypatch: pytest.MonkeyPatch) -> History:
    """The same, and the default settings find it."""
    for name in ("UNLEARNING_HOME", "UNLEARNING_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(history.folder)
    return history


BUCKET = "erasure"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a fake S3."""
    with services.object_store() as address:
        yield address


@pytest.fixture
def aws(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A client of the fake S3 with one empty bucket, `erasure`; nothing of the developer's own AWS set-up is seen."""
    for name in services.FOREIGN:
        monkeypatch.delenv(name, raising=False)
    for name, value in services.reaching(server, tmp_path).items():
        monkeypatch.setenv(name, value)
    import boto3

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


@pytest.fixture(scope="session")
def finished_erasure(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Erasure]:
    """Made once, since MLflow takes seconds; use `erasure`."""
    folder = tmp_path_factory.mktemp("erasure")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNING_HOME", str(folder / "home"))
        for name in ("UNLEARNING_STORE", "UNLEARNING_CHECKPOINTS", "UNLEARNING_PIPELINE_ROOT", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        return folder / "home", make_erasure(folder / "scratch")


@pytest.fixture
def erasure(home: Path, finished_erasure: tuple[Path, Erasure]) -> Erasure:
    """The history on this machine, in a home of this test alone."""
    made_in, erasure = finished_erasure
    shutil.copytree(made_in, home)
    with closing(sqlite3.connect(home / "mlflow.db")) as database, database:
        for table, column in MLFLOW_PATHS:
            moved = (str(made_in), str(home))
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", moved)  # noqa: S608
    for entry in home.rglob(".kfp_cache/*"):
        entry.write_text(entry.read_text().replace(str(made_in), str(home)))
    return erasure


@pytest.fixture
def more_erasures() -> Callable[[Path, str], Erasure]:
    """The same once more, or elsewhere, for another model."""
    return make_erasure


@pytest.fixture
def leaks(home: Path, erasure: Erasure) -> Callable[[], dict[str, list[str]]]:
    """Where anything that must be gone is still to be found, in any file below the home."""
    return lambda: found_in(
        {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()},
        erasure.secrets,
    )


def _version(number: int, parent: int = 0, *, aliases: Sequence[str] = (), name: str = "m", **tags: str) -> Version:
    snapshot = tags.pop("snapshot", f"s{number}")
    every = {"parent": str(parent) if parent else "none", "kind": "unlearned" if parent else "original"}
    every |= {"snapshot": snapshot, "verdict": "passed" if parent else "none", "status": "superseded"}
    every |= {"digest": f"d{number}", "parent_digest": f"d{parent}" if parent else "none"}
    return Version(
        name=name,
        version=str(number),
        aliases=tuple(aliases),
        tags=every | {key.replace("request_", "request."): value for key, value in tags.items()},
        description="",
    )


@pytest.fixture
def version() -> Callable[..., Version]:
    """A version by its number and its parent's; what is not given is as the pipelines would write it."""
    return _version
