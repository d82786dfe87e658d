"""The documentation as built: in a browser, from a folder, without a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unlearning.browser.conftest import DESK, PHONE, Open, problems

ROOT = Path(__file__).parents[3]
PAGES = ("index", "method", "compliance", "cli", "reference/audit")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True, timeout=300)
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_accessible(site: Path, opened: Open, name: str) -> None:
    page = opened(site / f"{name}.html", size=PHONE if name == "method" else DESK, dark=name == "cli", alone=False)
    assert problems(page) == []


def test_what_is_written_is_found_from_a_folder(site: Path, opened: Open) -> None:
    page = opened(site / "index.html", alone=False)
    page.get_by_role("textbox", name="Search").fill("tombstones")
    found = page.locator(".md-search-result__link").first
    found.wait_for(timeout=60_000)
    found.click()
    page.wait_for_url("**/tombstones.html*")
