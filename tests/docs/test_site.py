"""The site builds without a warning, and needs nothing from another host to be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs_site import command_line, diagrams, links
from tests.docs import pages

LOADING = {
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "object": ("data",),
    "use": ("href", "xlink:href"),
}
"""What a browser fetches by itself, by tag; where a reader clicks may be anywhere."""
FOREIGN = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
IN_CSS = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pages.site(tmp_path_factory.mktemp("docs") / "site")


class Fetched(HTMLParser):
    """What a page makes the browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") in ("canonical", "prev", "next"):
            return
        self.addresses += [given[name] or "" for name in LOADING.get(tag, ()) if name in given]
        self.addresses += IN_CSS.findall(given.get("style") or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(path: Path) -> Fetched:
    found = Fetched()
    found.feed(path.read_text(encoding="utf-8"))
    return found


def fetched_from_elsewhere(site: Path) -> Iterator[str]:
    for path in site.rglob("*.html"):
        yield from (f"{path.name}: {each}" for each in read(path).addresses if FOREIGN.match(each))
    for path in site.rglob("*.css"):
        yield from (f"{path.name}: {each}" for each in IN_CSS.findall(path.read_text(encoding="utf-8")))


def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    inside = [page.removeprefix("docs/") for page in pages.pages() if page.startswith("docs/")]
    assert len(inside) >= 30
    index = (site / "index.html").read_text()
    for page in inside:
        built = page.removesuffix(".md") + ".html"
        assert (site / built).is_file(), page
        assert f'href="{built}"' in index or built == "index.html", page


def test_nothing_is_fetched_from_another_host(site: Path) -> None:
    assert list(fetched_from_elsewhere(site)) == []


def test_what_would_be_fetched_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text('<script src="https://cdn.example/a.js"></script><img src="//b.example/c.png">')
    (tmp_path / "page.css").write_text("@import 'https://fonts.example/d.css'; p { background: url(//e.example) }")
    assert len(list(fetched_from_elsewhere(tmp_path))) == 4


def test_equations_are_mathml_and_numbered(site: Path) -> None:
    page = (site / "method.html").read_text()
    assert page.count("<math") >= 8
    assert "arithmatex" not in page
    numbers = [int(each) for each in re.findall(r"\\tag\{(\d+)\}", pages.text_of("docs/method.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(f'<span class="number">({number})</span>' in page for number in numbers)


def test_the_reference_has_what_people_call(site: Path) -> None:
    for page, name in (
        ("methods", "unlearning.methods.gradient_matching.stage_1"),
        ("audit", "unlearning.audit.audit.audit"),
        ("data", "unlearning.data.splits.make_split"),
        ("compliance", "unlearning.compliance.ledger.store.Ledger"),
        ("steps", "unlearning.steps.promote.promote"),
    ):
        assert f'id="{name}"' in (site / "reference" / f"{page}.html").read_text(), name


def options(command: Any, context: Any) -> Iterator[str]:
    yield from (record[0] for each in command.params if (record := each.get_help_record(context)))


def test_the_command_line_is_described_whole(site: Path) -> None:
    said = " ".join("".join(read(site / "cli.html").text).split())
    count = 0
    for context in command_line.commands():
        assert context.command_path in said
        for option in options(context.command, context):
            assert " ".join(option.split()) in said, f"{context.command_path} {option}"
            count += 1
    assert count > 150


def test_links_out_of_the_documentation_are_named_in_the_site(site: Path) -> None:
    assert not [
        f"{path.name}: {target}"
        for path in site.rglob("*.html")
        if path.name != "404.html"  # may be shown at any depth, so its links begin at the root
        for target in re.findall(r'href="([^"#]+)', path.read_text())
        if not FOREIGN.match(target) and not target.startswith("mailto:") and not (path.parent / target).exists()
    ]
    assert "settings (<code>unlearning/core/settings.py</code>)" in (site / "storage.html").read_text()


def test_every_diagram_is_drawn(site: Path) -> None:
    for page in pages.pages():
        if not page.startswith("docs/"):
            continue
        drawn = [diagrams.parse(each.text) for each in pages.blocks(page) if each.language == "mermaid"]
        html = (site / page.removeprefix("docs/").replace(".md", ".html")).read_text()
        assert html.count('<svg class="flow"') == len(drawn)
        assert 'class="mermaid"' not in html
        for chart in drawn:
            assert all(line in html for node in chart.nodes.values() for line in node.lines)


def test_pictures_from_outside_are_part_of_the_site(site: Path) -> None:
    assert (site / links.OUTSIDE / "benchmarks/results/audit-power.svg").is_file()


def test_it_has_a_light_and_a_dark_palette() -> None:
    config = yaml.safe_load((pages.ROOT / "mkdocs.yml").read_text())
    assert [each["scheme"] for each in config["theme"]["palette"]] == ["default", "slate"]
    assert config["theme"]["font"] is False
    assert config["strict"] is True
