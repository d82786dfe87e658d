"""Local tasks that begin at once: a process that has imported everything forks one for each of them.

kfp.local starts a Python for every task, and each would spend seconds on importing torch and MLflow again. Here it
starts a small program instead (`fork_server_client`), which hands its arguments, environment, folder and output over to
a server (`fork_server`); that one forks, and the child does what the Python would have done. Nothing has been computed
before the fork, so a task sees what it would see alone. Only on Linux: elsewhere it is not safe to fork after that.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipelines.local.fork_server_client import ADDRESS

FEW_SPINS = ("GOMP_SPINCOUNT", "10000")
"""GNU OpenMP's threads spin while they wait for one another. On a machine that is busy with other things the default
wait makes two threads many times slower than one; this one costs nothing on a quiet machine. It is read when the
library is loaded."""
CLIENT = Path(__file__).with_name("fork_server_client.py")


@contextlib.contextmanager
def tasks() -> Iterator[None]:
    """Inside, Pythons that kfp.local starts are forks of a server that is made now and ends with the block.

    Inside of another such block it does nothing. Start it early: the server imports while others prepare the run.
    """
    if sys.platform != "linux" or ADDRESS in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="tasks-") as folder, _server(Path(folder) / "socket") as address:
        # kfp.local runs tasks by this name, in a shell, so it is a program and not a command.
        program = Path(folder) / "python"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{CLIENT}" "$@"\n')
        program.chmod(0o700)
        before, sys.executable = sys.executable, str(program)
        os.environ[ADDRESS] = str(address)
        try:
            yield
        finally:
            sys.executable = before
            del os.environ[ADDRESS]


@contextlib.contextmanager
def _server(address: Path) -> Iterator[Path]:
    """It ends when its standard input does: even a runner that is killed leaves none behind."""
    command = [sys.executable, "-m", "pipelines.local.fork_server", str(address)]
    environment = {**dict([FEW_SPINS]), **os.environ}
    with subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    ) as server:
        try:
            yield address
        finally:
            server.kill()
