"""Commands in forks of a process that has imported everything, as local runs start their tasks (see
`pipelines/local/fork_server_launch.py`).

For tests that give many short commands, each of which would spend seconds on imports. Not for those that run
pipelines: what a task imports of kfp is too little for that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.local import fork_server_launch
from pipelines.local.fork_server_client import ADDRESS

Run = Callable[[Sequence[str], Mapping[str, str], Path], subprocess.CompletedProcess[str]]
"""Arguments of `unlearn`, all of its environment and its folder, to how it ended."""
PATIENCE = 120


@contextmanager
def commands() -> Iterator[Run]:
    """Where forking is not safe, each command is a process of its own."""
    python = sys.executable
    with fork_server_launch.tasks(), pytest.MonkeyPatch.context() as outside:
        forking, server = sys.executable, os.environ.get(ADDRESS)
        outside.setattr(sys, "executable", python)  # nobody else is to be served
        outside.delenv(ADDRESS, raising=False)
        served = {ADDRESS: server} if server else {}

        def run(
            arguments: Sequence[str], environment: Mapping[str, str], folder: Path
        ) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [forking, "-m", "unlearning.cli", *arguments],
                env={**environment, **served},
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )

        yield run
