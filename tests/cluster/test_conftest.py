from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cluster.conftest import pytest_ignore_collect


@pytest.mark.parametrize(
    ("chosen", "left_out"),
    [
        ("", False),
        ("cluster", False),
        ("cluster or slow", False),
        ("not slow and not nightly and not cluster", True),
        ("nightly", True),
    ],
)
def test_the_suite_is_not_read_where_it_is_left_out(chosen: str, left_out: bool) -> None:
    config: Any = SimpleNamespace(getoption=lambda name: {"markexpr": chosen}[name])
    assert bool(pytest_ignore_collect(Path("tests/cluster/test_suite.py"), config)) is left_out
    assert pytest_ignore_collect(Path("tests/cluster/test_runs.py"), config) is None


def test_the_targets_of_the_makefile_leave_it_out() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    for target in ("test:", "test-all:"):
        recipe = makefile.split(f"\n{target}", 1)[1].split("\n\n", 1)[0]
        assert "not cluster" in recipe, target
