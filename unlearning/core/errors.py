"""Errors a person can act on, all of them in one tree, and the exit codes scripts can rely on.

A task of a pipeline leaves the line of its error where `UNLEARNING_TASK_ERROR` says: the runner of a local run reads it
there, and on a cluster it is the file whose content Kubernetes shows as the pod's message.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

TASK_ERROR = "UNLEARNING_TASK_ERROR"
"""Names the file for the line of a task's error."""
LONGEST = 4096
"""Bytes of it that Kubernetes keeps."""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_NOT_PROMOTED = 3
EXIT_PROBLEMS = 3
"""Looked at everything, and something is not as it should be."""


class UserError(Exception):
    """Bad input or a bad environment: one line saying what was wrong, where, and what to do.

    Steps and the command line print the message alone, without a traceback. Programming errors
    are never wrapped in it, so they stay loud.
    """


class TrainingDivergedError(UserError):
    """The loss became NaN or infinite; nothing was saved."""


class TransitionError(UserError):
    """This cannot happen to the request as it stands."""


class LostRaceError(UserError):
    """Somebody else was first: look at the request again and decide again."""


class DamagedLedgerError(UserError):
    """The events of a request are not as they were left; nothing is built on them."""


class HeldLockError(UserError):
    """Somebody else holds the lock."""


class UnknownRequestError(UserError):
    """The ledger has no request of this id."""


class PurgedError(UserError):
    """What a batch was to do is gone, since all of it was done and certified."""


class MissingKeyError(UserError):
    """There is no object with this key."""


class NotConfiguredError(UserError):
    """Neither a kubeconfig nor a pod's service account tells of a cluster."""


class DamagedSnapshotError(UserError):
    """What a snapshot in the store says that it holds cannot be read; a person could be in it."""


class DamagedSplitError(UserError):
    """A split in the store is not what its digest says: nobody can say what was trained on it."""


class ForbiddenError(UserError):
    """Whoever asks may not see this."""


class MissingObjectError(UserError):
    """There is no such object."""


def line_of(error: UserError) -> str:
    """What is told of it, on one line."""
    return " ".join(str(error).split())


def leave(error: BaseException) -> None:
    """Write the line of an error where the environment says; nothing for a programming error, or without a place."""
    place = os.environ.get(TASK_ERROR, "")
    if place and isinstance(error, UserError):
        with suppress(OSError):
            Path(place).write_bytes(line_of(error).encode(errors="backslashreplace")[:LONGEST])


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    leave(error)
    sys.__excepthook__(kind, error, trace)


if os.environ.get(TASK_ERROR):
    sys.excepthook = _hook  # KFP's executor lets what a task raises end the process
