from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from unlearning.core import settings
from unlearning.core.settings import from_environment

VARIABLES = (
    "UNLEARNING_HOME", "UNLEARNING_STORE", "UNLEARNING_DATA", "UNLEARNING_CHECKPOINTS", "MLFLOW_TRACKING_URI",
    "UNLEARNING_COMMIT", "UNLEARNING_PIPELINE_ROOT", "UNLEARNING_MLFLOW_ARTIFACTS",
    "UNLEARNING_TIME_ZONE",
)  # fmt: skip


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_everything_is_below_the_current_folder_by_default(tmp_path: Path) -> None:
    found = from_environment()
    assert found.home == tmp_path / "runs"
    assert found.store == str(tmp_path / "runs" / "store")
    assert found.data == tmp_path / "data"
    assert found.checkpoints == tmp_path / "runs" / "checkpoints"
    assert found.tracking_uri == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert found.pipeline_root == str(tmp_path / "runs")
    assert found.mlflow_artifacts == ""
    assert found.time_zone == "UTC"


def test_what_is_not_set_follows_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNLEARNING_HOME", "elsewhere")
    found = from_environment()
    assert found.home == tmp_path / "elsewhere"
    assert found.store == str(tmp_path / "elsewhere" / "store")
    assert found.checkpoints == tmp_path / "elsewhere" / "checkpoints"
    assert found.tracking_uri == f"sqlite:///{tmp_path}/elsewhere/mlflow.db"
    assert found.data == tmp_path / "data"


@pytest.mark.parametrize(
    ("variable", "field", "value"),
    [
        ("UNLEARNING_STORE", "store", "s3://bucket/prefix"),
        ("UNLEARNING_DATA", "data", "/somewhere/data"),
        ("UNLEARNING_CHECKPOINTS", "checkpoints", "/somewhere/checkpoints"),
        ("UNLEARNING_PIPELINE_ROOT", "pipeline_root", "s3://bucket/pipelines"),
        ("UNLEARNING_MLFLOW_ARTIFACTS", "mlflow_artifacts", "s3://bucket/mlflow"),
        ("MLFLOW_TRACKING_URI", "tracking_uri", "http://mlflow:5000"),
        ("UNLEARNING_TIME_ZONE", "time_zone", "Europe/Berlin"),
        ("UNLEARNING_COMMIT", "commit", "0123abc"),
    ],
)
def test_each_variable_changes_its_own_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, field: str, value: str
) -> None:
    before = from_environment().model_dump()
    monkeypatch.setenv(variable, value)
    after = from_environment().model_dump()
    assert str(after.pop(field)) == value
    before.pop(field)
    assert after == before


@pytest.mark.parametrize("variable", ["UNLEARNING_HOME", "UNLEARNING_DATA", "UNLEARNING_CHECKPOINTS"])
def test_folders_are_absolute(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "relative/folder")
    found = from_environment()
    assert all(each.is_absolute() for each in (found.home, found.data, found.checkpoints))


def run_git(*arguments: str, folder: Path) -> None:
    options = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *options, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def module_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets the library believe that it lies in another folder."""

    def place(folder: Path) -> None:
        monkeypatch.setattr(settings, "__file__", str(folder / "settings.py"))

    return place


def test_the_commit_is_that_of_the_checkout_and_says_when_files_differ(tmp_path: Path, module_in: Any) -> None:
    (tmp_path / "settings.py").write_text("one")
    run_git("init", folder=tmp_path)
    run_git("add", ".", folder=tmp_path)
    run_git("commit", "-m", "first", folder=tmp_path)
    module_in(tmp_path)
    clean = from_environment().commit
    assert re.fullmatch(r"[0-9a-f]{40}", clean)
    run_git("tag", "-a", "-m", "release", "v1", folder=tmp_path)
    assert from_environment().commit == clean
    (tmp_path / "settings.py").write_text("two")
    assert from_environment().commit == f"{clean}-dirty"


def test_outside_a_checkout_the_commit_is_unknown(
    tmp_path: Path, module_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    module_in(tmp_path)
    assert from_environment().commit == "unknown"


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.CalledProcessError(128, "git")])
def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert from_environment().commit == "unknown"


def test_an_image_without_git_names_its_commit_by_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise AssertionError("git must not be asked")

    monkeypatch.setattr(subprocess, "run", fail)
    monkeypatch.setenv("UNLEARNING_COMMIT", "built-from-this")
    assert from_environment().commit == "built-from-this"
