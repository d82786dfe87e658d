from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.audit_cost import measure_cost
from unlearning import recipes

pytestmark = pytest.mark.slow


def test_every_part_takes_time_and_ratios_are_over_a_whole_retraining(home: Path) -> None:
    recipe = recipes.load("digits-supervised", "training: {epochs: 1000000}")
    found = measure_cost(recipe, 1)
    assert min(found.values()) > 0
    for which in ("without", "with"):
        seconds = found[f"audit_{which}_references"]
        assert found[f"ratio_{which}_references"] == pytest.approx(seconds / found["retraining"])
        assert found[f"ratio_{which}_references"] < 0.1  # of a million epochs
