from __future__ import annotations

import shutil
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
