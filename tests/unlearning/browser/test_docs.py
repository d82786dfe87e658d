"""The documentation as built: in a browser, from a folder, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import pages
from tests.unlearning.browser.conftest import Open, violations

pytestmark = pytest.mark.slow

LIGHT = ("index", "certificates", "lineage", "cli", "reference/audit")
DARK = ("index", "extending", "lineage", "cli", "reference/compliance")
"""Every kind of text that the pages have is on one of these: commands, their output, code of every colour, tables,
links in signatures."""
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pages.site(tmp_path_factory.mktemp("docs") / "site")


@pytest.mark.parametrize(("name", "dark"), [*((name, False) for name in LIGHT), *((name, True) for name in DARK)])
def test_what_is_written_is_accessible(site: Path, opened: Open, name: str, dark: bool) -> None:
    """Nothing serious in the text of a page; the frame around it is Material's."""
    page = opened(site / f"{name}.html", dark=dark, alone=False)
    found = violations(page, context=".md-content", options={"preload": False})
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in SERIOUS] == []


def test_what_is_written_is_found_from_a_folder(site: Path, opened: Open) -> None:
    page = opened(site / "index.html", alone=False)
    page.get_by_role("textbox", name="Search").fill("tombstones")
    found = page.locator(".md-search-result__link").first
    found.wait_for(timeout=60_000)
    found.click()
    page.wait_for_url("**/tombstones.html*")
