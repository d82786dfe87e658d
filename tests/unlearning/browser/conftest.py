"""Pages as a person opens them: in Debian's Chromium, steered by Playwright, judged by axe-core.

Skipped where there is no Chromium, unless `REQUIRE_BROWSER` is set, as it is in CI.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from unlearning.audit.inspection_results import InspectionResults
from unlearning.reporting import report
from unlearning.reporting.figures.gallery import GalleryRow, picture
from unlearning.reporting.summary import Summary

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed with the module: Playwright keeps an event loop running in this thread as long as it is open."""
    if CHROMIUM is None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail("no Chromium: apt-get install chromium")
        pytest.skip("no Chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a file or an address; whatever it fetches beside itself, and every error it logs, fails the test."""
    contexts = []
    complaints: list[str] = []

    def open_page(
        where: Path | str, *, size: dict[str, int] = DESK, dark: bool = False, alone: bool = True, scripts: bool = True
    ) -> Page:
        context = browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        contexts.append(context)
        page = context.new_page()
        address = where.as_uri() if isinstance(where, Path) else where
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        if alone:
            page.on("request", lambda asked: complaints.append(asked.url) if _fetched(asked.url, address) else None)
        page.goto(address, wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def _fetched(url: str, address: str) -> bool:
    return url.partition("#")[0] != address.partition("#")[0] and not url.startswith("data:")


def violations(page: Page, **given: Any) -> list[dict[str, Any]]:
    """What axe-core finds, as it says it; `given` goes to its `run`."""
    found: list[dict[str, Any]] = Axe().run(page, **given).response["violations"]
    return found


def problems(page: Page) -> list[str]:
    """What axe-core finds, of every weight: rule, impact, and the first element."""
    return [f"{each['id']} ({each['impact']}): {each['nodes'][0]['html'][:200]}" for each in violations(page)]


def too_wide(page: Page) -> list[str]:
    """Elements that reach beyond the page's right edge and cannot be scrolled to by themselves."""
    found: list[str] = page.evaluate(
        """() => {
          const wide = [];
          const edge = document.documentElement.clientWidth + 1;
          const scrolls = e => e && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
          for (const e of document.body.querySelectorAll("*:not(svg *)"))
            if (e.getBoundingClientRect().right > edge && !scrolls(e.parentElement))
              wide.push(e.outerHTML.slice(0, 120));
          return wide;
        }"""
    )
    return found


@pytest.fixture
def report_page(
    make_summary: Callable[..., Summary], make_evidence: Callable[..., InspectionResults], tmp_path: Path
) -> Callable[..., Path]:
    """A report of an invented run with all that one can have, images too, written to a file."""
    image = picture(torch.randint(256, (1, 28, 28), generator=torch.Generator().manual_seed(0)).byte(), "an image", 0.9)
    near = dict.fromkeys(("original", "unlearned", "retrained"), (image,) * 5)

    def write(*arguments: object, **options: object) -> Path:
        path = tmp_path / "report.html"
        rows = [GalleryRow(forgotten=image, neighbours=near)] * 3
        report.write(make_summary(*arguments, **options), path, make_evidence(), rows)
        return path

    return write
