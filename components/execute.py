"""`python3 -m components.execute --function_to_execute NAME --executor_input JSON`: a task on a cluster.

The image holds every component, so a compiled pipeline names the one that is to run and does not carry its source.
What a person can act on ends a task with one line, in the log and where Kubernetes shows it as the pod's message, and
with the exit code of bad input; a programming error keeps its traceback.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from unlearning.core.errors import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_OK, TASK_ERROR, UserError, leave, line_of

RUNTIME = "_KFP_RUNTIME"
"""Tells kfp that it is imported by a task, which needs little of it: no decorators, for one."""
COMMAND = ("python3", "-m", "components.execute")
TERMINATION_LOG = Path("/dev/termination-log")
"""What a container writes here Kubernetes shows as the message of its end."""


def main(arguments: Sequence[str]) -> int:
    """Run one component; the exit code."""
    parser = argparse.ArgumentParser(prog="components.execute")
    parser.add_argument("--function_to_execute", required=True)
    parser.add_argument("--executor_input", required=True)
    given = parser.parse_args(arguments)
    os.environ[RUNTIME] = "true"
    if TERMINATION_LOG.exists():
        os.environ.setdefault(TASK_ERROR, str(TERMINATION_LOG))
    try:
        _execute(given.function_to_execute, given.executor_input)
    except UserError as error:
        leave(error)
        print(f"error: {line_of(error)}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except Exception:  # a programming error, which ends here and nowhere else
        traceback.print_exc()
        return EXIT_FAILED
    return EXIT_OK


def _execute(name: str, executor_input: str) -> None:
    if not name.isidentifier():
        raise UserError(f"component {name!r} is no name: use the image that the pipeline was compiled for")
    from kfp.dsl.executor import Executor

    try:
        module = importlib.import_module(f"components.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"components.{name}":
            raise
        raise UserError(
            f"this image has no component {name!r}: use the image that the pipeline was compiled for"
        ) from None
    Executor(executor_input=json.loads(executor_input), function_to_execute=getattr(module, name)).execute()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
