"""kfp.local in a folder of this machine: what every local run shares."""

import contextlib
import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kfp import local

from pipelines.local import fork_server_launch
from pipelines.local.console import RunLog, standard_error
from unlearning.core import settings
from unlearning.core.config import Checked, checked
from unlearning.core.errors import TASK_ERROR, UserError
from unlearning.core.files import read_json

ERROR_FILE = "error.txt"
"""The line of the last error of a task."""
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
TAKEN = ("latest", "store", "checkpoints", "mlartifacts", "keys")
"""Names in the home folder that mean something else."""


def folder_of(home: Path, run_id: str) -> Path:
    """Where a run keeps everything of its own.

    Raises:
        UserError: the id cannot be a folder's name, or means something else.
    """
    if not RUN_ID.fullmatch(run_id) or run_id in TAKEN:
        raise UserError(f"run id {run_id!r} cannot be used: choose another, of letters, digits, '.', '_' and '-'")
    return home / run_id


def check_writable(home: Path) -> None:
    """Refuse a home that cannot be written to before anything is done."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write {home}: {error.strerror}; set UNLEARNING_HOME to a folder you may write to"
        ) from None


def hand_down(where: settings.Settings) -> None:
    """Tasks are processes of their own: they read the settings from the environment they inherit."""
    os.environ |= {
        "UNLEARNING_HOME": str(where.home),
        "UNLEARNING_STORE": where.store,
        "UNLEARNING_DATA": str(where.data),
        "UNLEARNING_CHECKPOINTS": str(where.checkpoints),
        "MLFLOW_TRACKING_URI": where.tracking_uri,
        "UNLEARNING_PIPELINE_ROOT": where.pipeline_root,
        "UNLEARNING_COMMIT": where.commit,
    }
    os.environ.setdefault(*fork_server_launch.FEW_SPINS)


def tried_once(pipeline: Any) -> Any:
    """The pipeline with no task that is tried again: on one machine no pod is lost, and what fails fails again."""
    spec = pipeline.pipeline_spec
    for dag in (spec.root.dag, *(each.dag for each in spec.components.values())):
        for task in dag.tasks.values():
            task.ClearField("retry_policy")
    return pipeline


@contextlib.contextmanager
def running(folder: Path, quiet: bool) -> Any:
    """kfp.local inside the run's folder, its output filtered for people.

    Raises:
        UserError: a task failed; the message is the task's own where it was meant for a person.
            Or somebody interrupted it; the message says how to go on.
    """
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder / "tasks"),
        enable_caching=True,
    )
    log_path, told = folder / "run.log", (folder / ERROR_FILE).absolute()
    told.unlink(missing_ok=True)
    os.environ[TASK_ERROR] = str(told)
    with RunLog(log_path, standard_error(), quiet=quiet) as log, warnings.catch_warnings():
        # Image names, accelerators and display names mean nothing to the local runner.
        warnings.simplefilter("ignore")
        try:
            with contextlib.redirect_stdout(log), _root_logger_to(log), fork_server_launch.tasks():
                yield
        except RuntimeError as error:
            unknown = f"{str(error).splitlines()[0]}; the task's output is at the end of {log_path}"
            raise UserError(told.read_text() if told.exists() else unknown) from error
        except KeyboardInterrupt:
            raise UserError(f"interrupted: give --run-id {folder.name} to resume") from None
        finally:
            del os.environ[TASK_ERROR]


@contextlib.contextmanager
def _root_logger_to(log: RunLog) -> Iterator[None]:
    """kfp tells of a cache hit through the root logger, outside of what it prints to standard output."""
    root, handler = logging.getLogger(), logging.StreamHandler(log)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def outputs_of(folder: Path, pipeline: str, task: str) -> dict[str, Any]:
    """What the newest run of a task wrote; a conditional branch may have run any one of its copies."""
    pattern = f"{pipeline}-*/**/{task}*/executor_output.json"
    found = sorted((folder / "tasks").glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"task {task} of {pipeline} left no output in {folder}: see run.log there")
    content: dict[str, Any] = json.loads(found[-1].read_text())
    return content


def recorded(kind: type[Checked], path: Path) -> Checked:
    """The parameters that a run was started with.

    Raises:
        UserError: the file holds something else.
    """
    try:
        content = read_json(path, "parameters of the run")
        return checked(kind, content if isinstance(content, dict) else {"": content})
    except UserError as error:
        raise UserError(f"{path} does not hold the parameters of a run ({error}): choose another run id") from None
