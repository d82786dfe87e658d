from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest

from tests.unlearning.browser.conftest import DESK, PHONE, Open, problems, too_wide
from unlearning.audit.inspection_results import InspectionResults
from unlearning.reporting import report

pytestmark = pytest.mark.slow

Write = Callable[..., Path]
RUNS = {
    "passed": ("passed", "unlearned"),
    "leaks, then retrained": ("leaks", "retrained", "passed"),
    "for a person": ("over_forgotten", None),
}


@pytest.mark.parametrize(
    ("run", "size", "dark"),
    [
        ("passed", PHONE, False),
        ("passed", DESK, True),
        ("leaks, then retrained", PHONE, True),
        ("leaks, then retrained", DESK, False),
        ("for a person", PHONE, False),
        ("for a person", DESK, True),
    ],
)
def test_it_is_accessible_and_fits(
    report_page: Write, opened: Open, run: str, size: dict[str, int], dark: bool
) -> None:
    page = opened(report_page(*RUNS[run], supervised=True), size=size, dark=dark)
    assert problems(page) == []
    assert too_wide(page) == []


def test_it_is_small_even_with_all_that_it_can_have(report_page: Write) -> None:
    assert report_page(*RUNS["leaks, then retrained"], supervised=True).stat().st_size < 3_000_000


def test_the_first_screen_has_the_answer_the_verdict_and_every_card(report_page: Write, opened: Open) -> None:
    page = opened(report_page(*RUNS["passed"]))
    cards = page.locator(".card")
    assert cards.locator("figure svg").count() >= 3
    for part in (page.locator(".answer"), page.locator("header .badge").first, *cards.all()):
        box = part.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= DESK["height"], part.inner_text()


def test_kubeflow_shows_it_in_a_frame_without_scripts(report_page: Write, opened: Open, tmp_path: Path) -> None:
    """KFP's viewer puts an HTML artifact into the srcdoc of a sandboxed frame."""
    source = escape(report_page(*RUNS["passed"]).read_text(), quote=True)
    outer = tmp_path / "viewer.html"
    frame_of = f'<iframe sandbox="" width="900" height="700" srcdoc="{source}"></iframe>'
    outer.write_text(f"<!DOCTYPE html><title>Viewer</title>{frame_of}")
    frame = opened(outer, alone=False).frame_locator("iframe")
    assert frame.locator(".answer").inner_text().startswith("The unlearned model passed")
    assert frame.locator("figure svg").first.is_visible()


def test_printed_it_cuts_no_figure_and_hides_nothing(report_page: Write, opened: Open) -> None:
    page = opened(report_page(*RUNS["leaks, then retrained"], supervised=True))
    figures = page.locator("figure svg").count()
    page.emulate_media(media="print")
    assert page.locator("figure svg:visible").count() == figures
    page.set_viewport_size({"width": 680, "height": 960})  # of an A4 sheet without its margins
    assert too_wide(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert 3 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") <= 40


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_of_the_figures_alone_is_accessible_too(
    make_evidence: Callable[..., InspectionResults], opened: Open, tmp_path: Path, dark: bool
) -> None:
    path = tmp_path / "figures.html"
    path.write_text(report.render_figures(make_evidence()))
    page = opened(path, size=PHONE, dark=dark)
    assert problems(page) == []
    assert too_wide(page) == []
