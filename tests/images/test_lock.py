"""Locks hold exactly what pyproject.toml pins, with hashes on each entry, and say nothing of where they came from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from images.lock import FULL, GPU_ONLY, SMALL, TOOLS, entries, without

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [Requirement(line) for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["server"]]]
LINE = re.compile(r"^[a-z0-9][a-z0-9-]*==\S+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n$")


def versions(path: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, lines in entries(path.read_text()):
        found.setdefault(name, set()).add(lines.splitlines()[0].removesuffix(" \\").split(" ; ")[0].split("==")[1])
    return found


@pytest.mark.parametrize("path", [FULL, SMALL, TOOLS], ids=lambda path: path.name)
def test_every_entry_is_a_version_with_hashes_and_nothing_else(path: Path) -> None:
    for _, lines in entries(path.read_text()):
        assert LINE.fullmatch(lines), lines[:200]


@pytest.mark.parametrize("change", ["--hash=md5:00", "# via x", "--index-url https://example.org", ""])
def test_an_entry_with_something_else_is_found(change: str) -> None:
    good = f"a==1 \\\n    --hash=sha256:{'0' * 64}\n"
    assert LINE.fullmatch(good)
    assert not LINE.fullmatch(f"{good}{change}\n")
    assert not LINE.fullmatch("a==1\n")
    assert not LINE.fullmatch(good.replace("==1", ">=1"))


@pytest.mark.parametrize("path", [FULL, SMALL], ids=lambda path: path.name)
@pytest.mark.parametrize("pin", PINS, ids=str)
def test_the_lock_has_what_pyproject_pins(path: Path, pin: Requirement) -> None:
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    assert versions(path)[pin.name] == {specifier.version}


def test_what_tests_and_checks_need_is_not_in_the_image() -> None:
    only_dev = {Requirement(line).name for line in PROJECT["optional-dependencies"]["dev"]} - {pin.name for pin in PINS}
    assert not only_dev & {*versions(FULL)}


def test_the_cpu_variant_differs_by_what_is_for_gpus_alone() -> None:
    assert SMALL.read_text() == without(FULL.read_text(), GPU_ONLY)


def test_tools_are_those_asked_for() -> None:
    asked = [Requirement(line) for line in (ROOT / "images/tools.in").read_text().splitlines() if line[0] != "#"]
    for requirement in asked:
        assert versions(TOOLS)[requirement.name] == {str(requirement.specifier).removeprefix("==")}


def test_entries_and_leaving_some_out() -> None:
    text = "# head\na==1 \\\n    --hash=1\nb-c==2 ; x < '3' \\\n    --hash=2\nb-c==3\nd==4\n"
    assert [name for name, _ in entries(text)] == ["a", "b-c", "b-c", "d"]
    assert without(text, ["b-c"]) == "# head\na==1 \\\n    --hash=1\nd==4\n"
    with pytest.raises(ValueError, match="not in the lock file: e"):
        without(text, ["a", "e"])
