"""Errors a person can act on, and the exit codes scripts can rely on."""

from __future__ import annotations

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
