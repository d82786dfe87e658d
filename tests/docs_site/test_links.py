from __future__ import annotations

import pytest

from docs_site import links


@pytest.mark.parametrize(
    ("page", "target", "path"),
    [
        ("storage.md", "../unlearning/core/settings.py", "unlearning/core/settings.py"),
        ("reference/data.md", "../../README.md#licence", "README.md"),
        ("storage.md", "audit.md#the-verdict", None),
        ("reference/data.md", "../audit.md", None),
        ("storage.md", "#files-on-their-way", None),
        ("storage.md", "https://example.org/../a", None),
    ],
)
def test_what_lies_outside_is_told_from_what_lies_inside(page: str, target: str, path: str | None) -> None:
    assert links.outside(page, target) == path


@pytest.mark.parametrize(
    ("markdown", "rewritten"),
    [
        ("[settings](../unlearning/core/settings.py) say", "settings (`unlearning/core/settings.py`) say"),
        ("[`benchmarks/a.md`](../benchmarks/a.md)", "`benchmarks/a.md`"),
        ("[benchmarks/a.md](../benchmarks/a.md)", "`benchmarks/a.md`"),
        ("![a curve](../benchmarks/a.svg)", "![a curve](outside/benchmarks/a.svg)"),
        ("[audit](audit.md), [paper](https://example.org)", "[audit](audit.md), [paper](https://example.org)"),
        ("```\n[a](../b)\n```\n[a](../b)\n", "```\n[a](../b)\n```\na (`b`)\n"),
    ],
)
def test_links_out_become_text(markdown: str, rewritten: str) -> None:
    assert links.without_outside("page.md", markdown) == rewritten


def test_pictures_outside_are_found_from_deeper_pages_too() -> None:
    markdown = "![a](../../benchmarks/a.svg) ![b](../figures/b.svg) [c](../../c.svg)"
    assert links.pictures("reference/page.md", markdown) == {"benchmarks/a.svg"}
    assert "](../outside/benchmarks/a.svg)" in links.without_outside("reference/page.md", markdown)
