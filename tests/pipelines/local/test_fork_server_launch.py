"""What a fork of the server does is what a Python of its own would have done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.local import fork_server_launch
from pipelines.local.fork_server_client import ADDRESS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere tasks are processes of their own"),
]
ROOT = Path(__file__).parents[3]
PATIENCE = 60.0
OWN = sys.executable
TASKS = {
    "told": "import os, sys; print(sys.argv[1:], os.getcwd(), os.environ['MARK']); print('aside', file=sys.stderr)",
    "reads": "import sys; print(sys.stdin.read().upper())",
    "fails": "raise ValueError('on purpose')",
    "exits": "import sys; sys.exit(int(sys.argv[1]))",
    "says": "import sys; sys.exit('a last word')",
    "dies": "import os; print('begun', flush=True); os.kill(os.getpid(), 9)",
    "waits": "import time, os; time.sleep(1); print(os.getpid())",
    "imported": "import sys; print({'torch', 'mlflow', 'sklearn'} <= {*sys.modules}, 'kfp.compiler' in sys.modules)",
    "fine": "import atexit; atexit.register(print, 'the end')",
    "draws": "import random; print(random.random())",
    "threads": "import torch; torch.set_num_threads(2); x = torch.randn(400, 400); print((x @ x).shape[0])",
    "children": "import subprocess, sys; print(subprocess.run([sys.executable, '-c', 'exit(5)']).returncode)",
}


@dataclass(frozen=True)
class Place:
    """A folder with modules to run, and the Python to run them with."""

    folder: Path
    python: str

    def run(self, module: str, *arguments: str, mark: str = "m", given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-m", module, *arguments],
            input=given,
            capture_output=True,
            text=True,
            env={**os.environ, "MARK": mark},
            cwd=self.folder,
            timeout=PATIENCE,
            check=False,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("tasks")
    for name, text in TASKS.items():
        (folder / f"{name}.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{ROOT}")
        patch.delenv(ADDRESS, raising=False)
        with fork_server_launch.tasks():
            yield Place(folder, sys.executable)


@pytest.fixture(params=["forked", "alone"])
def either(request: pytest.FixtureRequest, place: Place) -> Place:
    """The same must hold for a Python of its own."""
    return place if request.param == "forked" else Place(place.folder, OWN)


def test_arguments_environment_folder_and_output_are_the_callers(either: Place) -> None:
    done = either.run("told", "a b", "c", mark="mine")
    assert done.stdout == f"['a b', 'c'] {either.folder} mine\n"
    assert done.stderr == "aside\n"
    assert done.returncode == 0


def test_input_is_the_callers(either: Place) -> None:
    assert either.run("reads", given="hello").stdout == "HELLO\n"


@pytest.mark.parametrize("code", [0, 1, 2, 3, 255])
def test_the_exit_code_is_the_tasks(either: Place, code: int) -> None:
    assert either.run("exits", str(code)).returncode == code


def test_an_exception_is_told_and_fails(either: Place) -> None:
    done = either.run("fails")
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: on purpose\n")


def test_a_last_word_is_told_and_fails(either: Place) -> None:
    done = either.run("says")
    assert (done.returncode, done.stderr) == (1, "a last word\n")


def test_what_is_registered_for_the_end_is_done(either: Place) -> None:
    assert either.run("fine").stdout == "the end\n"


def test_children_of_a_task_are_waited_for(either: Place) -> None:
    assert either.run("children").stdout == "5\n"


def test_a_task_that_dies_is_a_failure_and_the_next_one_runs(place: Place) -> None:
    done = place.run("dies")
    assert (done.returncode, done.stdout) == (1, "begun\n")
    assert "died before it ended" in done.stderr
    assert place.run("exits", "0").returncode == 0


def test_tasks_run_side_by_side_in_processes_of_their_own(place: Place) -> None:
    begin = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        found = [each.stdout for each in pool.map(place.run, ["waits"] * 4)]
    assert len({*found}) == 4
    assert time.monotonic() - begin < 3.5, "one after another they would take four seconds"


def test_what_takes_long_to_import_is_there_and_what_tasks_do_not_need_is_not(place: Place) -> None:
    assert place.run("imported").stdout == "True False\n"


def test_forks_do_not_draw_the_same_numbers(place: Place) -> None:
    assert len({place.run("draws").stdout for _ in range(3)}) == 3


def test_a_fork_computes_in_several_threads(place: Place) -> None:
    assert place.run("threads").stdout == "400\n"


def test_inside_of_another_block_nothing_is_started(place: Place) -> None:
    before = os.environ[ADDRESS], sys.executable
    with fork_server_launch.tasks():
        assert (os.environ[ADDRESS], sys.executable) == before
    assert (os.environ[ADDRESS], sys.executable) == before


def servers(mark: str) -> list[int]:
    """Processes of servers whose address has the mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if b"pipelines.local.fork_server" in command and mark.encode() in command:
            found.append(int(entry.parent.name))
    return found


def come_to(count: int, mark: str) -> bool:
    """Whether there are so many in the end."""
    deadline = time.monotonic() + PATIENCE
    while len(servers(mark)) != count and time.monotonic() < deadline:
        time.sleep(0.1)
    return len(servers(mark)) == count


def test_afterwards_everything_is_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", OWN)
    with fork_server_launch.tasks():
        assert come_to(1, str(tmp_path))
        assert sys.executable != OWN
    assert (sys.executable, ADDRESS in os.environ, list(tmp_path.iterdir())) == (OWN, False, [])
    assert come_to(0, str(tmp_path))


def test_a_runner_that_is_killed_leaves_no_server_behind(tmp_path: Path) -> None:
    program = (
        "import time; from pipelines.local import fork_server_launch as server\n"
        "with server.tasks(): print('up', flush=True); time.sleep(600)"
    )
    environment = {name: value for name, value in os.environ.items() if name != ADDRESS}
    runner = subprocess.Popen(
        [OWN, "-c", program],
        env=environment | {"TMPDIR": str(tmp_path)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert runner.stdout is not None
    assert runner.stdout.readline() == b"up\n"
    assert come_to(1, str(tmp_path))
    os.kill(runner.pid, signal.SIGKILL)
    runner.communicate()
    assert come_to(0, str(tmp_path))
