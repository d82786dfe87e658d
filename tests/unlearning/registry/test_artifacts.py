from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.services import mlflow_server
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.registry.artifacts import LoggedModels
from unlearning.registry.client import Registry
from unlearning.storage.store import Amount


def purge_the_first(registry: Registry, artifacts: Path) -> None:
    """What must hold wherever the artifacts lie."""
    logged = LoggedModels(registry)
    original, _, serving = registry.versions("tiny")
    folder = next(artifacts.rglob(original.tags.logged_model))
    files = [path for path in folder.rglob("*") if path.is_file()]
    before = logged.measure(original.tags.logged_model)
    assert before == Amount(len(files), sum(path.stat().st_size for path in files))
    run = registry.client.get_run(original.tags.run).to_dictionary()
    assert logged.purge(original.tags.logged_model) == before.objects > 4
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert logged.measure(original.tags.logged_model) == Amount(0, 0)
    assert logged.purge(original.tags.logged_model) == 0
    assert registry.client.get_run(original.tags.run).to_dictionary() == run
    assert [each.path for each in registry.client.list_artifacts(original.tags.run)] == ["audit"]
    assert registry.client.get_logged_model(original.tags.logged_model).model_id == original.tags.logged_model
    assert logged.measure(serving.tags.logged_model).objects > 4


@pytest.mark.slow
@pytest.mark.usefixtures("erasure")
def test_everything_of_a_logged_model_goes_and_its_run_stays(home: Path) -> None:
    purge_the_first(Registry(settings.from_environment().tracking_uri), home / "mlartifacts")


@pytest.mark.usefixtures("erasure")
def test_a_logged_model_that_mlflow_does_not_know_holds_nothing() -> None:
    logged = LoggedModels(Registry(settings.from_environment().tracking_uri))
    assert logged.measure("m-00000000000000000000000000000000") == Amount(0, 0)
    assert logged.purge("m-00000000000000000000000000000000") == 0


@pytest.mark.usefixtures("erasure")
def test_only_old_logged_models_without_a_version_are_left_over() -> None:
    registry = Registry(settings.from_environment().tracking_uri)
    logged, ids = LoggedModels(registry), [each.tags.logged_model for each in registry.versions("tiny")]
    later = time.time() + 60
    assert logged.leftovers(frozenset(ids), later) == []
    assert logged.leftovers(frozenset(), time.time() - 86_400) == []
    (found,) = logged.leftovers(frozenset(ids[1:]), later)
    assert (found.id, found.tags.operation) == (ids[0], "made as 1")
    assert found.tags.digest == registry.resolve("tiny", "1").tags.digest
    logged.purge(ids[0])
    assert logged.leftovers(frozenset(ids[1:]), later) == []


@pytest.mark.usefixtures("erasure")
@pytest.mark.parametrize(
    ("kept_at", "location", "looked_at"),
    [
        ("s3://b/p", "mlflow-artifacts:/1/models/m-1/artifacts", "s3://b/p/1/models/m-1/artifacts"),
        ("s3://b/p/", "mlflow-artifacts://host:5000/1/models/m-1", "s3://b/p/1/models/m-1"),
        ("s3://b", "s3://other/1/models/m-1", "s3://other/1/models/m-1"),
        ("", "mlflow-artifacts:/1/models/m-1", "mlflow-artifacts:/1/models/m-1"),
    ],
)
def test_artifacts_are_looked_for_where_the_server_keeps_them(
    monkeypatch: pytest.MonkeyPatch, kept_at: str, location: str, looked_at: str
) -> None:
    logged = LoggedModels(Registry(settings.from_environment().tracking_uri), kept_at)
    monkeypatch.setattr(
        logged.registry.client, "get_logged_model", lambda _: SimpleNamespace(artifact_location=location)
    )
    assert logged._location("m-1") == looked_at


@pytest.mark.usefixtures("erasure")
def test_a_place_that_is_no_bucket_is_refused() -> None:
    with pytest.raises(UserError, match="UNLEARNING_MLFLOW_ARTIFACTS is '/mnt/mlflow': give s3://bucket/prefix"):
        LoggedModels(Registry(settings.from_environment().tracking_uri), "/mnt/mlflow")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real MLflow server that keeps artifacts in a folder of its own."""
    changed = {"--artifacts-destination": str(tmp_path / "served"), "--workers": "1"}
    with mlflow_server(f"sqlite:///{tmp_path}/server.db", {}, tmp_path, changed) as address:
        yield address


@pytest.mark.slow
def test_the_same_through_a_server(
    home: Path, tmp_path: Path, server: str, more_erasures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    more_erasures(tmp_path / "scratch", "tiny")
    assert not (home / "mlartifacts").exists()
    purge_the_first(Registry(server), tmp_path / "served")
