from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from unlearning.cli.output import explained, path_text, show
from unlearning.core.config import Config
from unlearning.core.errors import EXIT_BAD_INPUT, UserError


class Settings(Config):
    path: Path
    names: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    digest: str
    records: int


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Settings(path=Path("a/b"), names=("x", "y")), {"path": "a/b", "names": ["x", "y"]}),
        (Result("abc", 3), {"digest": "abc", "records": 3}),
        ({"path": Path("a")}, {"path": "a"}),
        ([1, 2], [1, 2]),
    ],
)
def test_any_result_is_printed_as_json(value: object, expected: object, capsys: pytest.CaptureFixture[str]) -> None:
    show(value, True)
    assert json.loads(capsys.readouterr().out) == expected


def test_people_get_field_by_field_or_a_text_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    show(Result("abc", 3), False)
    show(Result("abc", 3), False, lambda: "three records")
    assert capsys.readouterr().out == "digest: abc\nrecords: 3\nthree records\n"


def test_a_users_error_is_one_line_whatever_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, explained():
        raise UserError("the server said:\n  <html>\n  no")
    assert caught.value.code == EXIT_BAD_INPUT
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "error: the server said: <html> no\n")


def test_a_programming_error_stays_loud() -> None:
    with pytest.raises(ZeroDivisionError), explained():
        raise ZeroDivisionError


def test_paths_are_shortened_where_they_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_text(tmp_path / "runs" / "x") == str(Path("runs") / "x")
    assert path_text(tmp_path.parent / "elsewhere") == str(tmp_path.parent / "elsewhere")
