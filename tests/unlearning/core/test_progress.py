from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from unlearning.core import progress
from unlearning.core.progress import LOG_LINES, track


def logged(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A clock that stands still at its only item."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    yield now
    monkeypatch.undo()


def test_a_log_gets_about_ten_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with track("train", 200) as advance:
        for unit in range(200):
            advance(f"loss {unit}")
    lines = logged(capsys)
    assert len(lines) == LOG_LINES == 10
    assert [re.match(r"train: (\d+)/200 ", line)[1] for line in lines] == [str(20 * n) for n in range(1, 11)]  # type: ignore[index]
    assert lines[-1].endswith("loss 199")


@given(total=st.integers(1, 120))
def test_every_length_ends_with_its_last_unit_and_is_never_verbose(total: int) -> None:
    lines = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", lines)
        with track("work", total) as advance:
            for _ in range(total):
                advance("")
    written = lines.getvalue().splitlines()
    assert len(written) == min(total, LOG_LINES)
    assert written[-1].startswith(f"work: {total}/{total} ")


def test_nothing_to_do_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with track("train", 0):
        pass
    assert logged(capsys) == []


def test_a_log_says_how_long_it_took_and_how_long_it_will(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with track("train", 4) as advance:
        clock[0] += 10
        advance("loss 0.5")
        clock[0] += 30
        advance("loss 0.4")
    assert logged(capsys) == [
        "train: 1/4  10 s, 10.0 s each, 30 s left  loss 0.5",
        "train: 2/4  40 s, 20.0 s each, 40 s left  loss 0.4",
    ]


@pytest.mark.parametrize(
    ("done", "seconds", "told"), [(30, 10, "3.0/s"), (1, 4, "4.0 s each"), (0, 4, ""), (3, 0, ""), (5, 5, "1.0/s")]
)
def test_a_rate_is_told_by_the_larger_number(done: int, seconds: float, told: str) -> None:
    assert progress._rate(done, seconds) == told


def test_a_terminal_gets_a_bar_with_count_and_note(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()

    def terminal(*, stderr: bool) -> Console:
        assert stderr
        return Console(file=screen, force_terminal=True, width=120)

    monkeypatch.setattr(progress, "Console", terminal)
    with track("retrain", 3) as advance:
        for unit in range(3):
            advance(f"loss {unit}")
    shown = screen.getvalue()
    assert "retrain" in shown
    assert "3/3" in shown
    assert "loss 2" in shown
