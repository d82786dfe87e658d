"""What is built is named after its commit, by whichever engine answers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from images import build
from images.build import Source, Variant, build_command, find_engine, find_source
from unlearning.core.errors import UserError

SOURCE = Source("1.2.3", "0123456789ab" + "0" * 28, "2026-01-02T03:04:05+00:00", 1767323045)


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    git(tmp_path, "add", ".")
    git(
        tmp_path, "-c", "user.name=a", "-c", "user.email=a@example.org",
        "commit", "--quiet", "-m", "x", "--date=2026-01-02T03:04:05Z",
    )  # fmt: skip
    return tmp_path


def engine(folder: Path, name: str, code: int) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\nexit {code}\n")
    program.chmod(0o755)


def test_a_clean_checkout_is_named_after_its_commit(checkout: Path) -> None:
    source = find_source(checkout, dirty=False)
    assert source.version == "1.2.3"
    assert source.commit == git(checkout, "rev-parse", "HEAD")
    assert source.created == git(checkout, "log", "-1", "--format=%cI")
    assert source.tag(Variant.CUDA) == f"unlearning:1.2.3-{source.commit[:12]}"
    assert source.tag(Variant.CPU) == f"unlearning:1.2.3-{source.commit[:12]}-cpu"


def test_changes_are_refused_unless_asked_for_and_then_said(checkout: Path) -> None:
    (checkout / "new.py").write_text("")
    with pytest.raises(UserError, match="not committed"):
        find_source(checkout, dirty=False)
    source = find_source(checkout, dirty=True)
    assert source.commit.endswith("-dirty")
    assert source.tag(Variant.CUDA).endswith("-dirty")


def test_what_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no git checkout"):
        find_source(tmp_path, dirty=True)


def test_an_engine_must_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no image engine answers"):
        find_engine(None)
    engine(tmp_path, "docker", 1)
    engine(tmp_path, "buildah", 0)
    assert find_engine(None) == "buildah"
    with pytest.raises(UserError, match="docker"):
        find_engine("docker")
    engine(tmp_path, "podman", 0)
    assert find_engine(None) == "podman"


@pytest.mark.parametrize("name", build.ENGINES)
def test_the_engine_is_told_all_of_it(name: str) -> None:
    command = build_command(name, SOURCE, Variant.CPU, "my:base", ["--network=host"], Path("/src"))
    assert command[:2] == [name, "build"]
    assert command[-2:] == ["--network=host", "/src"]
    assert ("--format" in command) == (name != "docker")
    for argument in (
        "BASE=my:base",
        "VARIANT=cpu",
        "VERSION=1.2.3",
        f"COMMIT={SOURCE.commit}",
        f"CREATED={SOURCE.created}",
    ):
        assert command[command.index(argument) - 1] == "--build-arg"


def test_the_base_of_the_containerfile_is_kept_unless_another_is_given() -> None:
    assert not any(part.startswith("BASE=") for part in build_command("docker", SOURCE, Variant.CUDA, None, []))


def test_a_person_reads_one_line(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "new.py").write_text("")
    monkeypatch.setattr(build, "ROOT", checkout)
    app = typer.Typer()
    app.command()(build.main)
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert len(result.output.splitlines()) == 1
