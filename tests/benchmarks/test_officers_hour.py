"""The officer's hour: what is wrong is told, and the real one finds nothing wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import officers_hour
from benchmarks.officers_hour import Desk, Did, Hour


def test_every_picture_is_somebodys(tmp_path: Path) -> None:
    owned = officers_hour.pictures(tmp_path, 30)
    rows = (tmp_path / "subjects.csv").read_text().splitlines()[1:]
    assert sorted(row.partition(",")[0] for row in rows) == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*.png")
    )
    assert sum(map(len, owned.values())) == len(rows) == 30


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "says", "wrong"),
    [
        (["requests", "list"], 0, "", ""),
        (["requests", "list"], 2, "", "exit code 0 instead of 2"),
        (["requests", "list"], 0, "C-17", "it does not say 'C-17'"),
    ],
)
def test_what_a_command_should_have_said_is_looked_for(
    tmp_path: Path, arguments: list[str], code: int, says: str, wrong: str
) -> None:
    desk = Desk(tmp_path)
    desk.run("look", *arguments, code=code, says=says)
    assert desk.steps[0].wrong.startswith(wrong)
    assert bool(desk.steps[0].wrong) == bool(wrong)


def test_the_page_says_what_was_wrong() -> None:
    made = {"command": "unlearn verify", "seconds": 1.0, "code": 1, "said": ()}
    steps = (Did(what="train", wrong="", **made), Did(what="verify", wrong="it does not say so", **made))
    page = officers_hour.page(Hour(commit="0" * 40, cores=2, steps=steps))
    assert "**wrong**: verify: it does not say so" in page
    assert "**wrong**: train" not in page


@pytest.mark.nightly
def test_the_hour_goes_by_with_nothing_wrong(tmp_path: Path) -> None:
    assert [each.what for each in officers_hour.hour(tmp_path) if each.wrong] == []
