from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearning.core.errors import UserError
from unlearning.core.files import (
    canonical_json,
    new_folder,
    read_json,
    sha256_file,
    sha256_json,
    write_json,
    write_text,
)

KEYS = st.text(max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=5,
)


class OutOfLuckError(Exception):
    """What goes wrong inside a block."""


def deny(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 5000])
def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_canonical_json_is_sorted_and_without_spaces() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": {"d": True, "c": "x y"}}) == (
        '{"a":{"c":"x y","d":true},"b":[1,2.5,null]}'
    )


@given(value=st.dictionaries(KEYS, JSON, max_size=5))
def test_a_json_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    reordered = dict(reversed(value.items()))
    assert sha256_json(reordered) == sha256_json(value)
    assert json.loads(canonical_json(value)) == value


def test_a_json_digest_is_the_hash_of_the_canonical_spelling() -> None:
    assert sha256_json({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_cannot_hold_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json([value])
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file.json", [value])
    assert list(tmp_path.iterdir()) == []


@given(value=JSON)
def test_written_json_reads_back(value: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "deep", "er", "file.json")
        write_json(path, value)
        assert read_json(path, "value") == value
        assert [file.name for file in path.parent.iterdir()] == ["file.json"]


def test_written_text_replaces_the_file_and_everybody_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "first, and longer")
    write_text(path, "second")
    assert path.read_text() == "second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("function", ["os.replace", "os.chmod", "tempfile.mkstemp"])
def test_a_failed_write_leaves_the_old_text_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(function, deny)
    with pytest.raises(UserError, match=r"cannot write .*file: Permission denied; choose a folder you may write to"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_text_that_cannot_be_encoded_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^file: '\\ud800' is not valid Unicode"):
        write_text(tmp_path / "file", "lone surrogate \ud800")
    assert list(tmp_path.iterdir()) == []


def test_writing_over_a_folder_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*folder: Is a directory"):
        write_text(tmp_path / "folder", "text")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_writing_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write .*below"):
        write_text(tmp_path / "file" / "below", "text")


def test_a_missing_json_file_is_named_with_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recipe: .*missing.json does not exist"):
        read_json(tmp_path / "missing.json", "recipe")


@pytest.mark.parametrize("content", [b"", b"{", b"{'a': 1}", b"\xff\xfe\x00"])
def test_a_file_that_is_not_json_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(UserError, match=r"recipe: .*file.json cannot be read as JSON") as refused:
        read_json(tmp_path / "file.json", "recipe")
    assert "\n" not in str(refused.value)


def test_a_folder_cannot_be_read_as_json(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read as JSON .*Is a directory"):
        read_json(tmp_path, "recipe")


def test_a_new_folder_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "folder"
    with new_folder(target) as folder:
        (folder / "file").write_text("content")
        assert not target.exists()
        assert folder.parent == target.parent
    assert (target / "file").read_text() == "content"
    assert list(target.parent.iterdir()) == [target]
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


FILES = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.binary(max_size=20), max_size=5)


@given(before=st.none() | FILES, written=FILES, error=st.sampled_from([OutOfLuckError, KeyboardInterrupt, SystemExit]))
def test_a_failed_block_leaves_nothing_and_touches_nothing(
    before: dict[str, bytes] | None, written: dict[str, bytes], error: type[BaseException]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        target = Path(name, "folder")
        if before is not None:
            target.mkdir()
            fill(target, before)
        with pytest.raises(error):
            fill_new_folder_and_raise(target, written, error)
        assert content_of(Path(name)) == ({} if before is None else {"folder": before})


@given(before=FILES, written=FILES)
def test_a_new_folder_replaces_the_old_one_whole(before: dict[str, bytes], written: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        target = Path(name, "folder")
        target.mkdir()
        fill(target, before)
        with new_folder(target) as folder:
            fill(folder, written)
        assert content_of(Path(name)) == {"folder": written}


def fill_new_folder_and_raise(target: Path, files: dict[str, bytes], error: type[BaseException]) -> None:
    with new_folder(target) as folder:
        fill(folder, files)
        raise error


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def content_of(folder: Path) -> dict[str, object]:
    return {path.name: content_of(path) if path.is_dir() else path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["file", "link to a folder", "link to nothing"])
def test_a_new_folder_replaces_whatever_has_its_name_and_not_what_a_link_points_to(tmp_path: Path, kind: str) -> None:
    target, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    if kind == "file":
        target.write_text("old")
    else:
        target.symlink_to(elsewhere if kind == "link to a folder" else tmp_path / "nothing")
    with new_folder(target) as folder:
        (folder / "file").write_text("new")
    assert not target.is_symlink()
    assert content_of(tmp_path) == {"folder": {"file": b"new"}, "elsewhere": {"kept": b"kept"}}


def test_a_folder_where_nothing_may_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "mkdtemp", deny)
    with pytest.raises(UserError, match=r"cannot write .*folder: Permission denied"), new_folder(tmp_path / "folder"):
        pytest.fail("the block must not run")


def test_a_folder_below_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write .*below"), new_folder(tmp_path / "file" / "below"):
        pytest.fail("the block must not run")


@given(place=st.sampled_from(["key", "value", "nested"]), half=st.integers(0xD800, 0xDFFF))
def test_json_that_nobody_could_read_back_is_not_written(place: str, half: int) -> None:
    text = f"caf{chr(half)}"
    wrong = {"key": {text: 1}, "value": {"names": text}, "nested": {"names": ["cat", [{"a": text}]]}}[place]
    for write in (canonical_json, sha256_json, lambda value: write_json(Path("/nowhere/x.json"), value)):
        with pytest.raises(UserError, match="is not valid Unicode: rename the file or folder"):
            write(wrong)


@given(text=st.text())
def test_every_valid_text_is_written_as_it_was(text: str) -> None:
    assert json.loads(canonical_json({"names": [text, "\\ud800"]})) == {"names": [text, "\\ud800"]}
