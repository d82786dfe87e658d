from __future__ import annotations

from pathlib import Path

import pytest

from unlearning.core.config import Config, read_config
from unlearning.core.errors import UserError


class Inner(Config):
    size: int


class Outer(Config):
    inner: Inner


def test_a_document_is_read_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text('{"inner": {"size": 3}}')
    assert read_config(Outer, tmp_path / "file", "thing") == Outer(inner=Inner(size=3))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{}", "inner: Field required"),
        ('{"inner": {"size": "x"}}', "inner.size: Input should be a valid integer"),
        ('{"inner": {"size": 1}, "more": 1}', "more: Extra inputs are not permitted"),
        ("[]", "top level: Input should be"),
    ],
)
def test_the_first_wrong_key_is_named_with_what_to_do(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(UserError) as plain:
        read_config(Outer, path, "thing")
    assert str(plain.value).startswith(f"thing {path}: {problem}")
    with pytest.raises(UserError) as advised:
        read_config(Outer, path, "thing", "make it again")
    assert str(advised.value) == f"{plain.value}: make it again"
    assert "\n" not in str(advised.value)


def test_a_missing_document_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^thing: .*file does not exist"):
        read_config(Outer, tmp_path / "file", "thing")
