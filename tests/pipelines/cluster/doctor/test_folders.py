from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.cluster.doctor import folders as module
from pipelines.cluster.doctor.folders import folders


def test_folders_are_not_made_by_looking(tmp_path: Path) -> None:
    (finding,) = folders([tmp_path / "a/b", tmp_path / "a/b"])
    assert (finding.state, list(tmp_path.iterdir())) == ("ok", [])


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (finding,) = folders([tmp_path / "a/b"])
    assert (finding.state, "cannot be written to" in finding.found) == ("failed", True)


def test_little_room_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=module.ROOM - 1))
    (finding,) = folders([tmp_path])
    assert finding.state == "warning"


def test_a_full_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=module.FULL - 1))
    (finding,) = folders([tmp_path])
    assert (finding.state, "255 MiB free" in finding.found) == ("failed", True)


def test_a_full_disk_that_still_makes_empty_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux's device that is always full: a file there opens, and no byte goes in."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
        (finding,) = folders([tmp_path])
    assert (finding.state, "No space left" in finding.found) == ("failed", True)
