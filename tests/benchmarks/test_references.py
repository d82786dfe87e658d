from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.references import measure

pytestmark = pytest.mark.slow


def test_every_part_takes_time_and_the_ratio_is_their_sum(home: Path) -> None:
    found = measure("digits", "supervised", 1, 1)
    assert min(found.values()) > 0
    single = min(found["single_one_thread"], found["single_all_threads"])
    whole = found["training_of_references"] + found["measuring_of_references"]
    assert found["ratio"] == pytest.approx(whole / single)
    assert found["training_ratio"] == pytest.approx(found["training_of_references"] / single)
    assert found["ratio_to_one_thread"] == pytest.approx(whole / found["single_one_thread"])
