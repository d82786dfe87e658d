"""An image is tried as confined as the manifests want it."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from images import trial
from images.trial import CONFINED, CONFINEMENT, run_command

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_engines_are_told_to_confine_it(engine: str) -> None:
    command = run_command(engine, "tag", ["unlearn", "--help"])
    assert command[:2] == [engine, "run"]
    assert command[-3:] == ["tag", "unlearn", "--help"]
    pairs = list(itertools.pairwise(command))
    assert "--read-only" in command
    for pair in (("--network", "none"), ("--cap-drop", "ALL"), ("--security-opt", "no-new-privileges")):
        assert pair in pairs


def test_no_more_may_be_written_to_than_the_manifests_let() -> None:
    """Servers from this image have one volume to write to, and it is the one the trial gives."""
    documents = yaml.safe_load_all((ROOT / "manifests/base/mlflow.yaml").read_text())
    (pod,) = [each["spec"]["template"]["spec"] for each in documents if each["kind"] == "Deployment"]
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert [each["mountPath"] for each in container["volumeMounts"]] == ["/tmp"]  # noqa: S108


def test_a_process_that_is_not_confined_is_found() -> None:
    """This one: it may write to its own root, or to /tmp at least, and it may gain privileges."""
    done = subprocess.run([sys.executable, "-c", CONFINEMENT.read_text()], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "it may gain privileges" in done.stderr


def test_the_health_check_is_the_images_own_and_passes_here() -> None:
    python, *rest = trial.health_check(trial.CONTAINERFILE.read_text())
    assert python == "python3"
    assert subprocess.run([sys.executable, *rest], cwd=ROOT, check=False).returncode == 0


def test_a_task_is_started_as_the_pipelines_do_and_passes_here() -> None:
    python, *rest = trial.TASK
    assert python == "python3"
    assert subprocess.run([sys.executable, *rest], cwd=ROOT, check=False).returncode == 0


def test_a_failure_inside_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = iter([0, 1])
    monkeypatch.setattr(trial, "find_engine", lambda _: "docker")
    monkeypatch.setattr(trial, "in_image", lambda *_: next(codes))
    with pytest.raises(SystemExit, match="health check: exit code 1 in tag"):
        trial.main("tag")


def test_the_script_that_confines_is_one_that_a_shell_reads() -> None:
    subprocess.run(["sh", "-n", CONFINED], check=True)
