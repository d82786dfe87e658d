from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks import first_use
from benchmarks.first_use import FirstUse, commands, follow, page, surroundings
from unlearning.core.errors import UserError


def test_the_commands_are_those_of_the_readme() -> None:
    assert commands((first_use.ROOT / "README.md").read_text()) == ["make run", "make test"]


@pytest.mark.parametrize("readme", ["", "## Two commands\nnone here\n## More\n```\nmake run\n```\n"])
def test_a_readme_without_them_is_refused(readme: str) -> None:
    with pytest.raises(UserError, match="no block of commands"):
        commands(readme)


def test_a_new_user_has_none_of_our_settings_and_no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARNING_HOME", "/somewhere")
    monkeypatch.setenv("VIRTUAL_ENV", "/ours")
    monkeypatch.setenv("MAKELEVEL", "1")
    given = surroundings(tmp_path)
    assert not {"UNLEARNING_HOME", "VIRTUAL_ENV", "MAKELEVEL"} & set(given)
    assert given["HOME"] == str(tmp_path)
    assert given["PIP_NO_CACHE_DIR"] == "1"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A committed Makefile, and beside it what is not committed."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Makefile").write_text("run:\n\t@echo made; ls\nfail:\n\t@echo no; exit 3\n")
    named = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "--quiet"], ["add", "Makefile"], [*named, "commit", "--quiet", "-m", "m"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    (folder / "left-over").touch()
    return folder


def test_commands_run_in_a_clone_and_the_first_that_fails_is_the_last(project: Path, tmp_path: Path) -> None:
    steps = follow(project, ["make run", "make fail", "make run"], tmp_path / "new_user")
    assert [(each.command, each.code) for each in steps] == [("git clone", 0), ("make run", 0), ("make fail", 2)]
    assert steps[1].said == ("made", "Makefile"), "what is not committed is not there"
    told = page(FirstUse(commit="c" * 40, cores=2, steps=steps))
    assert "| `make fail` | 0 | 2 |" in told
    assert "made\nMakefile" in told
