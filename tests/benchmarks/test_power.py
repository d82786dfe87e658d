from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import power
from benchmarks.audit import main
from benchmarks.power import (
    FORGOTTEN,
    HOLDOUTS,
    Simulated,
    figure,
    lines,
    null_error,
    passable_margin,
    simulate,
    unrelated_margin,
)
from unlearning.audit.power import equivalence_power, power_at

pytestmark = pytest.mark.slow

SVG = "{http://www.w3.org/2000/svg}"


def one(**changed: Any) -> Simulated:
    about: dict[str, Any] = {
        "forgotten": 50, "holdout": 300, "sets": 2000, "auc": 0.61, "found": 1600, "found_by_interval": 1610,
        "margin": 0.18, "passed": 1590,
    }  # fmt: skip
    return Simulated.model_validate(about | changed)


def everything() -> list[Simulated]:
    return [one(forgotten=forgotten, holdout=holdout) for holdout in HOLDOUTS for forgotten in FORGOTTEN]


@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.95])
def test_the_margin_is_the_one_that_equal_models_keep_with_that_power(wanted: float) -> None:
    assert equivalence_power(0.02, passable_margin(0.02, wanted)) == pytest.approx(wanted)


def test_the_error_without_a_leak_is_that_of_shuffled_ranks() -> None:
    """Every order of 3 members among 4 non-members, one by one."""
    draw = np.random.default_rng(0)
    areas = []
    for _ in range(40_000):
        ranks = draw.permutation(7)
        areas.append(float((ranks[:3, None] > ranks[None, 3:]).mean()))
    assert null_error(3, 4) == pytest.approx(float(np.std(areas)), rel=0.02)


def test_simulated_sets_have_the_power_that_is_claimed_for_them() -> None:
    """600 sets of a middling size: four standard errors, and what Hanley and McNeil's formula is off for normals."""
    found = simulate(100, 300, sets=600, seed=1)
    assert power_at(found.auc, 100, 300) == pytest.approx(0.8, abs=1e-6)
    assert found.margin == pytest.approx(unrelated_margin(100, 300))
    for hits in (found.found, found.found_by_interval, found.passed):
        assert hits / 600 == pytest.approx(0.8, abs=0.02 + 4 * math.sqrt(0.16 / 600))


def test_the_same_seed_gives_the_same_sets_and_another_gives_others() -> None:
    first, again, other = (simulate(20, 60, sets=200, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_figure_has_every_size_and_moves_with_what_was_found() -> None:
    before = figure(everything(), {200: [0.01, 0.02]})
    root = ElementTree.fromstring(before)  # noqa: S314 - our own output
    assert root.tag == f"{SVG}svg"
    assert "audit-power" in before
    for told in ("300 in the holdout", "5,000 in the holdout", "measured attacks", ">2000<"):
        assert told in before
    for change in ({"found": 1200, "auc": 0.9}, {"passed": 1200}, {"margin": 0.3}):
        assert figure([one(**change), *everything()[1:]], {200: [0.01, 0.02]}) != before


def test_the_page_says_whether_the_formulas_hold() -> None:
    page = "\n".join(lines(everything(), "it.svg"))
    assert "](it.svg)" in page
    assert "Equal models inside the margin: no interval misses 0.8." in page
    assert "| 50 | 300 | 0.610 | 0.800 [0.782, 0.817] |" in page
    off = "\n".join(lines([one(found=1700), one(forgotten=10, found=1400), one()], "it.svg"))
    assert "(Mann and Whitney): of 3 intervals 1 lie above 0.8, 1 below; furthest off, 0.700, with 10 forgotten" in off
    assert lines([], "it.svg") == []


def test_power_only_writes_what_it_simulated_and_its_figure(tmp_path: Path) -> None:
    output = tmp_path / "audit.json"
    main(output=output, power_only=True, sets=3)
    simulated = power.load(tmp_path / "audit-power.json")
    assert [(each.forgotten, each.sets) for each in simulated] == [(size, 3) for _ in HOLDOUTS for size in FORGOTTEN]
    assert (tmp_path / "audit-power.svg").read_text().startswith("<svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit-power.json", "audit-power.svg"]
    assert power.load(tmp_path / "nowhere.json") == ()
