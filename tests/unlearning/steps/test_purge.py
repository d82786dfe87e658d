from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from tests.unlearning.erasures import erased_ids
from unlearning.compliance.retention.policy import Item, PurgePlan
from unlearning.compliance.retention.purge import plan, purge
from unlearning.compliance.retention.withdraw import withdraw
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.data import snapshots
from unlearning.registry import promotion
from unlearning.registry.client import EXPERIMENT, Registry, Version
from unlearning.registry.tags import Tags
from unlearning.steps.resolve import resolve
from unlearning.storage.lease import lock
from unlearning.storage.local import LocalStore

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=31)
Leaks = Callable[[], dict[str, list[str]]]


def registry() -> Registry:
    return Registry(settings.from_environment().tracking_uri)


def versions() -> list[Version]:
    return registry().versions("tiny")


def withdrawn() -> None:
    withdraw(model_name="tiny", records={"R1": erased_ids()}, now=NOW, grace_days=30)


def serving_answers() -> None:
    model = mlflow.pyfunc.load_model("models:/tiny@champion")
    assert model.predict(np.zeros((1, 1, 12, 12), np.uint8))["embedding"].shape == (1, 16)


def files_below(home: Path) -> dict[str, bytes]:
    """Every file but the database and the locks, which change at every look."""
    found = {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(("mlflow.db", "store/locks"))}


def test_everything_is_there_before(erasure: Any, leaks: Leaks) -> None:
    """What the other tests look for would be found."""
    found = leaks()
    assert set(found) == set(erasure.secrets)
    assert {"store/snapshots", "run-tiny/tasks"} <= {"/".join(place.split("/")[:2]) for place in found["record 0"]}
    assert {"mlartifacts", "run-tiny"} <= {place.split("/")[0] for place in found["1"]}


def test_after_the_grace_period_nothing_of_it_is_left(erasure: Any, leaks: Leaks, home: Path) -> None:
    withdrawn()
    before = {version.version: registry().client.get_run(version.tags.run).to_dictionary() for version in versions()}
    result = purge(now=LATER)
    assert leaks() == {}
    assert [(each.version, each.requests) for each in result.versions] == [("1", ("R1",)), ("2", ("R1",))]
    assert all(each.objects > 4 for each in result.versions)
    assert result.objects > 20
    original, rejected, serving = versions()
    for version in (original, rejected):
        assert (version.tags.status, version.tags.purged_at) == ("purged", "2026-06-01T12:00:00+00:00")
        assert version.description.startswith(f"Made as {version.version}\n")
        assert "Its weights were deleted on 2026-06-01T12:00:00+00:00" in version.description
        assert int(version.tags.purged_objects) > 4
    after = {version.version: registry().client.get_run(version.tags.run).to_dictionary() for version in versions()}
    assert after == before
    assert [each.path for each in registry().client.list_artifacts(original.tags.run)] == ["audit"]
    assert (serving.tags.status, serving.aliases) == ("serving", ("champion",))
    serving_answers()
    store = LocalStore(home / "store")
    assert store.exists(f"snapshots/{erasure.snapshots[1]}.complete")
    snapshots.verify(snapshots.load(home / "store/snapshots" / erasure.snapshots[1]))
    left = {key for key in store.list("") if not key.startswith("locks")}
    assert {key.split("/")[0] for key in left} == {
        "snapshots", "splits", "requests", "same", "batches", "ledger", "seals", "tombstones",
    }  # fmt: skip
    named = {"requests/R2.json", "batches/of-R1.json", "batches/of-R2.json", f"splits/{erasure.splits[1]}.json"}
    others = {key for key in left if key.startswith(("requests", "same", "batches", "splits"))} - named
    assert sorted(key.split("/")[0] + key[-3:] for key in others) == ["batchesson", "same/R2"]
    assert [path.name for path in (home / "checkpoints").iterdir()] == ["running"]


def test_what_runs_made_for_the_serving_version_stays(home: Path, erasure: Any) -> None:
    withdrawn()
    purge(now=LATER)
    tasks = home / "run-tiny/tasks"
    data = f"ingest-{erasure.snapshots[1][:4]}/snapshot"
    assert sorted(str(path.relative_to(tasks)) for path in tasks.rglob("*") if path.is_file()) == [
        ".kfp_cache/aga.json", "again/model/model.json", "again/model/provenance.json",
        "again/model/weights.safetensors", "audit/audit", f"{data}/manifest.json", f"{data}/records.safetensors",
        f"split-{erasure.splits[1][:4]}/split",
    ]  # fmt: skip


@pytest.mark.usefixtures("erasure")
def test_nothing_goes_before_its_time(home: Path) -> None:
    withdrawn()
    assert purge(now=NOW).objects == 1  # the stale checkpoint
    before = files_below(home)
    early = NOW + timedelta(days=30) - timedelta(seconds=1)
    result = purge(now=early)
    assert (result.versions, result.objects) == ((), 0)
    assert [(each.version, each.requests) for each in result.waiting] == [("1", ("R1",)), ("2", ("R1",))]
    assert files_below(home) == before


@pytest.mark.usefixtures("erasure")
def test_the_plan_says_what_will_go_and_changes_nothing(home: Path) -> None:
    withdrawn()
    before, tags = files_below(home), versions()
    waiting = plan(now=NOW)
    assert [each.version for each in waiting.waiting] == ["1", "2"]
    assert {item.kind for item in waiting.items} == {"checkpoint"}  # the stale one
    found = plan(now=LATER)
    assert found == plan(now=NOW, at_once=True).model_copy(update={"items": found.items})
    assert {item.kind for item in found.items} == {
        "weights", "references", "snapshot", "split", "copy", "checkpoint", "request", "batch",
    }  # fmt: skip
    assert found.versions == ("tiny version 1", "tiny version 2")
    assert (files_below(home), versions()) == (before, tags)
    result = purge(now=LATER)
    assert (result.objects, result.bytes) == (found.objects, found.bytes)
    gone = set(before) - set(files_below(home))
    assert (len(gone), sum(len(before[name]) for name in gone)) == (found.objects, found.bytes)


@pytest.mark.usefixtures("erasure")
def test_purging_again_changes_nothing(home: Path) -> None:
    withdrawn()
    purge(now=LATER)
    before, tags = files_below(home), versions()
    again = purge(now=LATER + timedelta(days=9))
    assert (again.versions, again.objects, again.waiting) == ((), 0, ())
    assert (files_below(home), versions()) == (before, tags)
    assert plan(now=LATER) == PurgePlan(items=(), waiting=())


def test_cut_off_again_and_again_it_is_finished_in_the_end(leaks: Leaks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run dies at its third deletion of a file or folder, or at its third tag."""
    withdrawn()
    runs, done = 0, False
    while not done and runs < 100:
        with monkeypatch.context() as broken:
            left = Lives(2)
            for place, name in ((Path, "unlink"), (shutil, "rmtree"), (mlflow.MlflowClient, "set_model_version_tag")):
                broken.setattr(place, name, left.mortal(getattr(place, name)))
            with suppress(KeyboardInterrupt):
                purge(now=LATER)
                done = True
        runs += 1
        marked = [each.version for each in versions() if each.tags.status == "purged"]
        assert not marked or not leaks()
    assert runs > 15
    assert leaks() == {}
    assert [each.tags.status for each in versions()] == ["purged", "purged", "serving"]
    assert [each.description.count("Its weights were deleted") for each in versions()] == [1, 1, 0]
    assert plan(now=LATER) == PurgePlan(items=(), waiting=())
    serving_answers()


class Lives:
    """Calls that are allowed before the process dies."""

    def __init__(self, left: int) -> None:
        self.left = left

    def mortal(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if "/.staging/" in str(arguments[0]) or "/locks/" in str(arguments[0]):
                return real(*arguments, **options)
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return real(*arguments, **options)

        return call


@pytest.mark.usefixtures("erasure")
def test_a_version_that_serves_again_is_left_alone(leaks: Leaks) -> None:
    withdrawn()
    registry().make_champion(versions()[0])
    result = purge(now=LATER)
    assert [each.version for each in result.versions] == ["2"]
    assert "1" in leaks()
    assert "record 0" in leaks()
    serving_answers()


@pytest.mark.usefixtures("erasure")
def test_nothing_is_condemned_while_something_is_promoted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "PATIENCE", 0.0)
    withdrawn()
    before = files_below(home)
    with (
        lock(LocalStore(home / "store"), "locks/promote-tiny", "a promotion", seconds=60),
        pytest.raises(UserError, match="held by a promotion until"),
    ):
        purge(now=LATER)
    assert files_below(home) == before
    assert [each.tags.status for each in versions()] == ["withdrawn", "withdrawn", "serving"]


@pytest.mark.usefixtures("erasure")
def test_what_is_condemned_or_purged_never_serves_and_cannot_be_fetched(tmp_path: Path) -> None:
    withdrawn()
    with pytest.raises(KeyboardInterrupt):
        purge(now=LATER, watch=interrupt)
    for _ in range(2):
        original = versions()[0]
        with pytest.raises(UserError, match="tiny version 1 was purged and cannot serve: choose another version"):
            registry().make_champion(original)
        paths: dict[str, Any] = {
            f"{name}_path": tmp_path / name for name in ("model", "snapshot", "split", "references")
        }
        with pytest.raises(UserError, match="tiny version 1 was purged: choose another version"):
            resolve(model_name="tiny", version="1", **paths)
        assert not any(path.exists() for path in paths.values())
        purge(now=LATER)
    assert versions()[2].aliases == ("champion",)


def interrupt(item: Item, objects: int) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("erasure")
def test_data_that_another_model_stands_for_stays_until_that_is_purged_too(
    leaks: Leaks, erasure: Any, home: Path
) -> None:
    withdrawn()
    other = registry()
    other.client.create_registered_model("other")
    tags = {"kind": "original", "snapshot": erasure.snapshots[0], "split": erasure.splits[0], "digest": "other"}
    other.client.create_model_version("other", f"models:/{versions()[2].tags.logged_model}", tags=tags)
    assert [each.version for each in purge(now=LATER).versions] == ["1", "2"]
    assert set(leaks()) == {"record 0", "record 1", "record 2", "record 3"}
    store = LocalStore(home / "store")
    assert store.exists(f"splits/{erasure.splits[0]}.json")
    (third,) = other.versions("other")
    other.set_tags(third, Tags.model_validate({"purge_after": LATER.isoformat(), "withdrawn_for": "R1"}))
    assert purge(now=LATER).versions == ()  # it is the serving version's logged model
    other.set_tags(third, Tags.model_validate({"snapshot": "none", "split": "none"}))
    purge(now=LATER)
    assert leaks() == {}


@pytest.mark.usefixtures("erasure")
def test_one_model_can_be_purged_alone(tmp_path: Path, leaks: Leaks, more_erasures: Callable[[Path, str], Any]) -> None:
    more_erasures(tmp_path / "other", "other")
    for name in ("tiny", "other"):
        withdraw(model_name=name, records={"R1": erased_ids()}, now=NOW, grace_days=30)
    with pytest.raises(UserError, match=r"model 'nobody' is not in the registry at .*: check its name"):
        purge(now=LATER, model_name="nobody")
    assert [(each.model, each.version) for each in purge(now=LATER, model_name="tiny").versions] == [
        ("tiny", "1"), ("tiny", "2"),
    ]  # fmt: skip
    assert [each.model for each in plan(now=LATER, model_name="tiny").waiting] == ["other", "other"]
    assert [each.model for each in purge(now=LATER).versions] == ["other", "other"]
    assert leaks() == {}


@pytest.mark.usefixtures("erasure")
def test_at_once_does_not_wait() -> None:
    withdrawn()
    assert [each.version for each in purge(now=NOW, at_once=True).versions] == ["1", "2"]


@pytest.mark.parametrize("versioned", [True, False])
def test_in_buckets_too_nothing_is_left(
    aws: Any,
    versions_in: Callable[[], list[Any]],
    home: Path,
    more_erasures: Callable[[Path, str], Any],
    monkeypatch: pytest.MonkeyPatch,
    versioned: bool,
) -> None:
    """Store, pipeline root and MLflow's artifacts in S3, with and without versions of objects."""
    bucket = "erasure"
    if versioned:
        aws.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    monkeypatch.setenv("UNLEARNING_STORE", f"s3://{bucket}/store")
    monkeypatch.setenv("UNLEARNING_PIPELINE_ROOT", f"s3://{bucket}/pipelines")
    home.mkdir()
    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    client.create_experiment(EXPERIMENT, artifact_location=f"s3://{bucket}/mlflow")
    erasure = more_erasures(home.parent / "scratch", "tiny")

    def leaks() -> dict[str, list[str]]:
        """Every version of every object that holds a secret."""
        contents = {}
        for each in versions_in():
            if "Size" in each:
                body = aws.get_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])["Body"].read()
                contents[f"{each['Key']} {each['VersionId']}"] = body
        held = {
            name: [key for key, body in contents.items() if secret in body] for name, secret in erasure.secrets.items()
        }
        return {name: keys for name, keys in held.items() if keys}

    assert set(leaks()) == set(erasure.secrets)
    if versioned:  # what somebody only hid is purged too
        (key,) = {key.split()[0] for key in leaks()["record 0"] if key.startswith("store/snapshots")}
        aws.delete_object(Bucket=bucket, Key=key)
    withdrawn()
    planned = plan(now=LATER)
    assert purge(now=LATER).objects == planned.objects
    assert leaks() == {}
    purged = versions()[0].tags.logged_model
    assert not [each["Key"] for each in versions_in() if purged in each["Key"] or erasure.snapshots[0] in each["Key"]]
    assert [each.tags.status for each in versions()] == ["purged", "purged", "serving"]
    serving_answers()
