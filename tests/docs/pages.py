"""The documentation as it is written: its pages, their headings, links and fenced blocks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)(`{3,})([\w-]*)[^\n`]*\n(.*?)^ *\2 *$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(<?([^()\s>]+)>?(?: \"[^\"]*\")?\)")
PROGRAMS = ("make", "unlearn", "python", "kubectl", "kustomize", "pip", "torchrun", "docker", "openssl", "export", "$")
"""A block without a language is one of commands if a line begins with one of these."""


def site(folder: Path) -> Path:
    """The site in this folder, built as `make docs` does; a warning fails."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


def pages() -> list[str]:
    """Every page that people read, by its path below the root."""
    inside = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *inside]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    after: str = ""
    """The line of prose that follows."""

    @property
    def of_commands(self) -> bool:
        """Whether it is meant for a terminal."""
        if self.language:
            return self.language in ("sh", "bash", "console")
        return any(line.startswith(tuple(f"{each} " for each in PROGRAMS)) for line in self.text.splitlines())

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """Fenced blocks, in order; those inside a list without its indentation."""
    text = text_of(page)
    return tuple(
        Block(
            page,
            text.count("\n", 0, found.start()) + 1,
            found[3],
            "".join(line.removeprefix(found[1]) for line in found[4].splitlines(keepends=True)),
            text[found.end() :].lstrip("\n").partition("\n")[0],
        )
        for found in FENCE.finditer(text)
    )


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", text_of(page))


def spans(page: str) -> Iterator[str]:
    """Code inside sentences."""
    return (found[2].strip() for found in SPAN.finditer(prose(page)))


def links(page: str) -> list[str]:
    """Targets of links and pictures, outside of code."""
    return LINK.findall(SPAN.sub("", prose(page)))


def slug(heading: str) -> str:
    """The anchor that a forge makes of a heading: letters, digits, - and _, in small letters."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    kept = "".join(each for each in words if each.isalnum() or each in " -_" or unicodedata.category(each) == "Mn")
    return kept.replace(" ", "-")


def anchors(page: str) -> set[str]:
    """Where a link may lead on the page."""
    found: set[str] = set()
    for heading in HEADING.findall(prose(page)):
        name, number = slug(heading), 0
        while (each := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(each)
    return found | set(re.findall(r'<a (?:id|name)="([^"]+)"', prose(page)))
