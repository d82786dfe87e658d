from __future__ import annotations

import io
from pathlib import Path

import pytest

from pipelines.local.console import RunLog

TASK = """\
02:48:46.854 - INFO - Executing task \x1b[96m'ingest'\x1b[0m
02:48:46.855 - INFO - Streamed logs:

    [KFP Executor 2026-11-24 02:48:46,915 INFO]: Got executor_input:
    {
        "inputs": {
            "parameterValues": {"ids": "secret"}
        }
    }
    pretrain: 1/6  0 s, 0 s left  loss 2.3170
        pretrain: 2/6  0 s, 0 s left  loss 1.9176
02:48:50.747 - INFO - Task \x1b[96m'ingest'\x1b[0m finished with status \x1b[92mSUCCESS\x1b[0m
02:48:50.748 - INFO - Task \x1b[96m'ingest'\x1b[0m outputs:
    Output: 'd979d65ea40d035603ebf48b06e52e99f451154584ce6478973ba87894942ec0'
"""

TRACEBACK = """\
    Traceback (most recent call last):
      File "executor.py", line 1, in <module>
        raise UserError(message)
    unlearning.core.errors.UserError: the forget set is empty: name at least one member to forget
02:48:50.747 - INFO - Task 'select' finished with status FAILURE
"""


class Shown:
    """A log and what people see of it."""

    def __init__(self, folder: Path, *, quiet: bool = False) -> None:
        self.screen = io.StringIO()
        self.path = folder / "run.log"
        self.log = RunLog(self.path, self.screen, quiet=quiet)

    def lines(self, text: str) -> list[str]:
        self.log.write(text)
        self.log.flush()
        return self.screen.getvalue().splitlines()


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    return Shown(tmp_path)


def test_tasks_and_their_progress_are_shown_and_nothing_else(shown: Shown) -> None:
    lines = shown.lines(TASK)
    assert lines[0] == "· ingest"
    assert [line.strip() for line in lines[1:3]] == [
        "pretrain: 1/6  0 s, 0 s left  loss 2.3170",
        "pretrain: 2/6  0 s, 0 s left  loss 1.9176",
    ]
    assert lines[3].startswith("  ingest done in ")
    assert len(lines) == 4


def test_the_file_keeps_every_byte(shown: Shown) -> None:
    shown.lines(TASK)
    assert shown.path.read_text() == TASK


def test_it_does_not_matter_how_the_output_is_cut_into_pieces(shown: Shown) -> None:
    for character in TASK:
        shown.log.write(character)
    assert len(shown.lines("")) == 4


def test_a_task_from_the_cache_says_so(shown: Shown) -> None:
    lines = shown.lines("02:48:46.854 - INFO - Task ingest cache hit (key=0123456789ab); skipping execution.\n")
    assert lines == ["· ingest: done before, taken from the cache"]


def test_a_task_that_failed_is_shown_as_failed(shown: Shown) -> None:
    (line,) = shown.lines(TRACEBACK)
    assert line.startswith("  select FAILED in ")


def test_quiet_shows_nothing_but_still_keeps_the_log(tmp_path: Path) -> None:
    shown = Shown(tmp_path, quiet=True)
    assert shown.lines(TASK + TRACEBACK) == []
    assert shown.path.read_text() == TASK + TRACEBACK


def test_a_resumed_run_adds_to_its_log(tmp_path: Path) -> None:
    for _ in range(2):
        shown = Shown(tmp_path)
        shown.lines(TASK)
        shown.log.close()
    assert shown.path.read_text() == TASK + TASK
