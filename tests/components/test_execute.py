"""A component run by its name, as the image does on a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components import execute
from components.execute import COMMAND, RUNTIME, main
from unlearning.core.errors import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_OK, TASK_ERROR


def asked(name: str, folder: Path, **parameters: Any) -> list[str]:
    """What Kubeflow's launcher hands to a task that takes parameters and returns a value."""
    outputs = {
        "parameters": {"Output": {"outputFile": str(folder / "Output")}},
        "outputFile": str(folder / "executor_output.json"),
    }
    told = {"inputs": {"parameterValues": parameters}, "outputs": outputs}
    return ["--executor_input", json.dumps(told), "--function_to_execute", name]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file whose content Kubernetes would show."""
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setattr(execute, "TERMINATION_LOG", path)
    monkeypatch.setenv(RUNTIME, "")
    monkeypatch.delenv(TASK_ERROR, raising=False)
    return path


def test_a_component_leaves_its_outputs_where_the_launcher_looks(tmp_path: Path, log: Path) -> None:
    assert main(asked("plan_references", tmp_path, count=8, tasks=2)) == EXIT_OK
    written = json.loads((tmp_path / "executor_output.json").read_text())
    assert written["parameterValues"]["Output"] == ["0 2 4 6", "1 3 5 7"]
    assert log.read_text() == ""


def test_bad_input_ends_with_one_line_where_people_look(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked("plan_references", tmp_path, count=7, tasks=2)) == EXIT_BAD_INPUT
    line = log.read_text()
    assert "7" in line
    assert capsys.readouterr().err == f"error: {line}\n"
    assert not (tmp_path / "executor_output.json").exists()


def test_a_programming_error_keeps_its_traceback(tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(asked("plan_references", tmp_path, count=8)) == EXIT_FAILED
    assert "Traceback" in capsys.readouterr().err
    assert log.read_text() == ""


@pytest.mark.parametrize("name", ["nothing", "../os", "audit.x", ""])
def test_a_component_that_the_image_does_not_hold_is_one_line(
    name: str, tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked(name, tmp_path)) == EXIT_BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1
    assert "use the image that the pipeline was compiled for" in log.read_text()


def test_a_place_that_was_named_before_stays(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TASK_ERROR, str(tmp_path / "elsewhere"))
    main(asked("plan_references", tmp_path, count=7, tasks=2))
    assert "7" in (tmp_path / "elsewhere").read_text()
    assert log.read_text() == ""


def test_as_a_program_it_does_the_same(tmp_path: Path) -> None:
    python, *rest = COMMAND
    assert python == "python3"
    told = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, *rest, *asked("plan_references", tmp_path, count=8, tasks=4)]
    subprocess.run(command, check=True, cwd=tmp_path, env=told, timeout=120)
    written = json.loads((tmp_path / "executor_output.json").read_text())
    assert written["parameterValues"]["Output"] == ["0 4", "1 5", "2 6", "3 7"]
