"""Every link that stays in the project leads somewhere, to a heading too."""

from __future__ import annotations

import os.path
import re
from pathlib import PurePosixPath

import pytest

from tests.docs import pages

ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")
"""A scheme, such as https: it leaves the project and is not looked at."""


def problem(page: str, target: str) -> str | None:
    """What is wrong with a link of a page; None for nothing."""
    path, _, anchor = target.partition("#")
    found = os.path.normpath(PurePosixPath(page).parent / path) if path else page
    if found.startswith(("..", "/")) or not (pages.ROOT / found).exists():
        return f"{page}: {target}: no such file"
    if anchor and found.endswith(".md") and anchor not in pages.anchors(found):
        return f"{page}: {target}: no such heading"
    return None


@pytest.mark.parametrize("page", pages.pages())
def test_every_link_of_the_page_leads_somewhere(page: str) -> None:
    inside = [target for target in pages.links(page) if not ELSEWHERE.match(target)]
    assert [found for target in inside if (found := problem(page, target))] == []


def test_the_links_are_found_and_bad_ones_are_caught() -> None:
    found = {page: pages.links(page) for page in pages.pages()}
    assert sum(map(len, found.values())) > 150
    assert "docs/audit.md" in found["README.md"]
    assert "../unlearning/core/settings.py" in found["docs/storage.md"]
    assert problem("README.md", "docs/nowhere.md")
    assert problem("README.md", "docs/audit.md#nowhere")
    assert problem("docs/audit.md", "../../outside.md")
    assert problem("README.md", "docs/audit.md#the-verdict") is None


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("What is our reading, and what is not claimed", "what-is-our-reading-and-what-is-not-claimed"),
        ("`summary.json` of a run", "summaryjson-of-a-run"),
        ("TPR at 1 % and .1 % FPR", "tpr-at-1--and-1--fpr"),
        ("[The audit](audit.md)", "the-audit"),
    ],
)
def test_anchors_are_those_of_a_forge(heading: str, anchor: str) -> None:
    assert pages.slug(heading) == anchor
