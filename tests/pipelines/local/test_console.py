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


def test_the_line_meant_for_people_is_taken_from_a_traceback(shown: Shown) -> None:
    lines = shown.lines(TRACEBACK)
    assert shown.log.error == "the forget set is empty: name at least one member to forget"
    assert len(lines) == 1
    assert lines[0].startswith("  select FAILED in ")


@pytest.mark.parametrize("name", ["UserError", "unlearning.storage.store.MissingKeyError", "TrainingDivergedError"])
def test_every_error_for_people_is_recognised(shown: Shown, name: str) -> None:
    shown.lines(f"    {name}: do this instead\n")
    assert shown.log.error == "do this instead"


def test_a_programming_error_is_not_passed_off_as_the_users(shown: Shown) -> None:
    shown.lines("Traceback (most recent call last):\n    KeyError: 'digest'\n")
    assert shown.log.error == ""


def test_quiet_shows_nothing_but_still_keeps_log_and_error(tmp_path: Path) -> None:
    shown = Shown(tmp_path, quiet=True)
    assert shown.lines(TASK + TRACEBACK) == []
    assert shown.log.error.startswith("the forget set is empty")
    assert shown.path.read_text() == TASK + TRACEBACK


def test_a_resumed_run_adds_to_its_log(tmp_path: Path) -> None:
    for _ in range(2):
        shown = Shown(tmp_path)
        shown.lines(TASK)
        shown.log.close()
    assert shown.path.read_text() == TASK + TASK
