"""Links out of docs/: on a forge they lead to the file; the site has no such file, so it names it instead."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

FENCE = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1[`~]*$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)")
OUTSIDE = "outside"
"""Folder of the site for pictures that the repository keeps elsewhere."""


def outside(page: str, target: str) -> str | None:
    """The file of the repository, below its root, that a link on docs/`page` leads to; None inside docs/.

    Args:
        page: path below docs/.
        target: of the link, as it is written.
    """
    path, _, _ = target.partition("#")
    if not path or "://" in path or path.startswith("mailto:"):
        return None
    found = os.path.normpath(PurePosixPath("docs") / PurePosixPath(page).parent / path)
    return None if found == "docs" or found.startswith("docs/") else found


def prose(markdown: str) -> Iterator[tuple[str, bool]]:
    """The page in pieces, and whether each is prose rather than a fenced block."""
    end = 0
    for fence in FENCE.finditer(markdown):
        yield markdown[end : fence.start()], True
        yield fence.group(), False
        end = fence.end()
    yield markdown[end:], True


def pictures(page: str, markdown: str) -> set[str]:
    """Pictures of the page that lie outside docs/, below the root of the repository."""
    pieces = (piece for piece, is_prose in prose(markdown) if is_prose)
    found = (outside(page, link["target"]) for piece in pieces for link in LINK.finditer(piece) if link["image"])
    return {each for each in found if each is not None}


def without_outside(page: str, markdown: str) -> str:
    """The page with its links out of docs/ as text and code; pictures are shown from `OUTSIDE`."""
    up = "../" * (len(PurePosixPath(page).parts) - 1)

    def named(link: re.Match[str]) -> str:
        path = outside(page, link["target"])
        if path is None:
            return link.group()
        if link["image"]:
            return f"![{link['text']}]({up}{OUTSIDE}/{path})"
        text = link["text"]
        return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}`)"

    return "".join(LINK.sub(named, piece) if is_prose else piece for piece, is_prose in prose(markdown))
