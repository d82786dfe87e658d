from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unlearning.browser.conftest import DESK, PHONE, Open, problems, too_wide

Write = Callable[..., Path]
RUNS = {
    "passed": ("passed", "unlearned"),
    "leaks, then retrained": ("leaks", "retrained", "passed"),
    "for a person": ("over_forgotten", None),
}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("run", RUNS)
def test_it_is_accessible_and_fits(
    report_page: Write, opened: Open, run: str, size: dict[str, int], dark: bool
) -> None:
    page = opened(report_page(*RUNS[run], supervised=True), size=size, dark=dark)
    assert problems(page) == []
    assert too_wide(page) == []
