from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from benchmarks import comparison as benchmarked
from benchmarks import rows
from tests.unlearning.browser.conftest import DESK, PHONE, Open, problems, too_wide
from unlearning.reporting import comparison
from unlearning.reporting.comparison import RunComparison

pytestmark = pytest.mark.slow

RESULTS = Path(benchmarked.__file__).parent / "results" / "unlearning.json"


@pytest.fixture(scope="module")
def found() -> RunComparison:
    """The committed results of the benchmark."""
    return benchmarked.of_rows(rows.load(RESULTS))


@pytest.fixture
def written(found: RunComparison, tmp_path: Path) -> Path:
    comparison.write(found, tmp_path / "comparison.html")
    return tmp_path / "comparison.html"


def visible(page: Page, column: int) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "#comparison tbody tr:not([hidden])", "(rows, column) => rows.map(r => r.cells[column].dataset.value ?? "
        "r.cells[column].textContent.trim())", column,
    )  # fmt: skip
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_it_is_accessible_and_fits(written: Path, opened: Open, size: dict[str, int], dark: bool) -> None:
    page = opened(written, size=size, dark=dark)
    assert problems(page) == []
    assert too_wide(page) == []


def test_a_heading_sorts_up_then_down_and_says_so(written: Path, opened: Open, found: RunComparison) -> None:
    page = opened(written)
    heading = page.get_by_role("button", name="AUC gap")
    heading.click()
    gaps = [float(value) for value in visible(page, 5)]
    assert gaps == sorted(entry.gap.value for entry in found.entries if entry.gap is not None)
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    heading.click()
    assert [float(value) for value in visible(page, 5)] == gaps[::-1]
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="Method").click()
    assert visible(page, 1) == sorted(visible(page, 1), key=str.casefold)
    assert page.locator("th[aria-sort]").count() == 1


def test_it_can_be_sorted_with_the_keyboard_alone(written: Path, opened: Open) -> None:
    page = opened(written)
    page.get_by_role("button", name="Time over retraining").focus()
    page.keyboard.press("Enter")
    times = [float(value) for value in visible(page, 8)]
    assert times == sorted(times)


def test_filters_and_words_leave_what_fits(written: Path, opened: Open, found: RunComparison) -> None:
    page = opened(written)
    page.get_by_label("Paradigm").select_option("moco")
    page.get_by_label("Method").select_option("gradient_matching")
    fits = [e for e in found.entries if (e.paradigm, e.method) == ("moco", "gradient_matching")]
    assert 0 < len(fits) < len(found.entries)
    assert len(visible(page, 0)) == len(fits)
    assert page.locator("output").inner_text() == f"{len(fits)} of {len(found.entries)} rows"
    page.get_by_label("Search").fill("kind class")
    fits = [entry for entry in fits if entry.condition.startswith("kind: class")]
    assert len(visible(page, 0)) == len(fits) == 1
    page.get_by_label("Search").fill("nowhere to be found")
    assert visible(page, 0) == []
    assert page.locator("output").inner_text() == f"0 of {len(found.entries)} rows"


def test_without_scripts_the_whole_table_is_there_and_no_control_that_does_nothing(
    written: Path, opened: Open, found: RunComparison
) -> None:
    page = opened(written, scripts=False)
    assert page.locator("#comparison tbody tr").count() == len(found.entries)
    assert not page.locator("form").is_visible()


def test_what_was_not_measured_stays_at_the_end_whichever_way_is_sorted(
    opened: Open, found: RunComparison, tmp_path: Path
) -> None:
    first, *others = found.entries[:4]
    changed = found.model_copy(update={"entries": (first.model_copy(update={"lost": None}), *others)})
    comparison.write(changed, tmp_path / "page.html")
    page = opened(tmp_path / "page.html")
    for _ in range(2):
        page.get_by_role("button", name="Accuracy lost").click()
        assert visible(page, 7)[-1] == "none"
