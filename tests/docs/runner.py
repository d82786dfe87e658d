"""Runs the commands of one page after the other, as a person would type them: `python -m tests.docs.runner`.

It imports everything once, takes one job a line from standard input, and does each in a child of its own, so that no
page sees another's variables, folders or open databases. `unlearn` runs in the child itself; what needs a shell or
trains gets a shell.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 600
PRELOADED = (
    "mlflow.pyfunc", "sklearn.datasets", "kfp_server_api", "kubernetes.client", "boto3", "unlearning.cli.main",
    "unlearning.steps.resolve", "pipelines.compile",
    "pipelines.cluster.submission", "pipelines.cluster.packages", "pipelines.cluster.status",
)  # fmt: skip
"""What takes seconds to import, and many pages need."""


def captured(work: Callable[[], int]) -> tuple[int, str, str]:
    """Exit code and output, of child processes too."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        kept = os.dup(1), os.dup(2)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            code = work()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, saved in enumerate(kept, start=1):
                os.dup2(saved, number)
                os.close(saved)
        for each in (out, err):
            each.seek(0)
        return code, out.read().decode(), err.read().decode()


def unlearn(arguments: list[str]) -> int:
    from unlearning.cli import main

    sys.argv = ["unlearn", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def shell(text: str) -> int:
    return subprocess.run(["bash", "-euo", "pipefail", "-c", text], check=False, timeout=PATIENCE).returncode


def python(text: str, names: dict[str, Any]) -> int:
    try:
        exec(compile(text, "page", "exec"), names)  # noqa: S102 - our own page
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def do(step: dict[str, Any], names: dict[str, Any]) -> int:
    """One command: `unlearn` with its arguments, `python` or `shell` with a text, `set` with variables."""
    match step:
        case {"unlearn": arguments}:
            return unlearn(arguments)
        case {"python": text}:
            return python(text, names)
        case {"set": variables}:
            os.environ |= variables
            return 0
        case {"shell": text}:
            return shell(text)
    raise ValueError(f"not a step: {step}")


def page(job: dict[str, Any]) -> None:
    """All steps of a page; stops at the first that does not end as it should."""
    os.chdir(job["folder"])
    sys.path.insert(0, job["folder"])
    os.environ.update(job["variables"])
    names: dict[str, Any] = {"__name__": "page"}
    results = []
    for step in job["steps"]:
        begun = time.monotonic()
        code, out, err = captured(lambda step=step: do(step["do"], names))  # type: ignore[misc]
        results.append({"code": code, "out": out, "err": err, "seconds": time.monotonic() - begun})
        if code != step["code"]:
            break
    Path(job["results"]).write_text(json.dumps(results))


def serve() -> None:
    """A child for each job; answers with its exit code."""
    for name in PRELOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            page(json.loads(line))
            sys.stdout.flush()
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
