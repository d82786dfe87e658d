"""Trainings that are interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unlearning.core.progress import Advance


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def stop_after(patch: pytest.MonkeyPatch, epochs: int) -> list[int]:
    """Make training fail after so many epochs of one call; returns the epochs each call set out to train."""
    asked: list[int] = []

    @contextmanager
    def track(what: str, total: int) -> Iterator[Advance]:
        done = 0

        def advance(note: str) -> None:
            nonlocal done
            done += 1
            if done == epochs:
                raise ConnectionAbortedError("the machine went away")

        asked.append(total)
        yield advance

    patch.setattr("unlearning.learning.training.track", track)
    return asked
