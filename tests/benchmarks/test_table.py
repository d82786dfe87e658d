from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from benchmarks.rows import Row
from benchmarks.table import Mean, group, mean, render

MakeRow = Callable[..., Row]


def test_the_interval_is_students() -> None:
    """Of 1, 2, 3 the standard error is 1/√3; t for 95 % and 2 degrees of freedom is 4.303."""
    found = mean([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert mean([4.0]).half == math.inf
    assert mean([4.0]).text() == "4.000"


@pytest.mark.parametrize(
    ("value", "half", "said"),
    [(0.0, 0.01, "yes"), (0.0, 0.05, "yes, but its interval reaches beyond"), (0.03, 0.02, "no"), (-0.03, 0.2, "no")],
)
def test_a_bound_is_held_by_the_mean_and_by_the_whole_interval(value: float, half: float, said: str) -> None:
    assert Mean(value, half).within(-0.02, 0.02) == said


def rows_of(make_row: MakeRow) -> list[Row]:
    found = []
    for seed, (retrained, ours) in enumerate([(0.50, 0.51), (0.54, 0.55), (0.52, 0.54)]):
        found += [
            make_row(seed=seed, auc=retrained),
            make_row(seed=seed, method="original", auc=0.8),
            make_row(
                seed=seed, method="gradient_penalty", auc=ours, ratio=0.04,
                accuracies={"knn": 0.795, "linear_probe": 0.81, "forget_knn": 0.9},
            ),
        ]  # fmt: skip
    return found


def test_gaps_and_losses_are_paired_with_the_retrained_model_of_the_seed(make_row: MakeRow) -> None:
    ours = group(rows_of(make_row), paradigm="simclr", sweep="main")["gradient_penalty"]
    assert ours.gap.value == pytest.approx(0.04 / 3)
    assert ours.gap.half == pytest.approx(4.302653 * 0.01 / 3, rel=1e-4)
    assert ours.lost("knn").value == pytest.approx(0.5)
    assert ours.lost("linear_probe").value == pytest.approx(1.0)


def test_a_seed_without_a_retrained_model_is_left_out(make_row: MakeRow) -> None:
    rows = [*rows_of(make_row), make_row(seed=9, method="gradient_penalty", auc=0.99)]
    assert group(rows, paradigm="simclr")["gradient_penalty"].gap.value == pytest.approx(0.04 / 3)


def test_the_page_answers_each_bound_and_names_seeds_commit_and_machine(make_row: MakeRow) -> None:
    page = render(rows_of(make_row))
    assert "Seeds 0, 1, 2." in page
    assert "AUC at least .65: yes (0.800 ± 0.000)" in page
    assert "within .02 of the retrained AUC: yes, but its interval reaches beyond (0.013 ± 0.014)" in page
    assert "worst measure: yes, but" not in page.split("within .02")[0]
    assert "At most 5 % of the time of retraining: yes (0.040 ± 0.000)" in page
    assert "Commits: 000000000000." in page
    assert "a machine" in page
    table = [line for line in page.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in table] == ["original", "retrain", "gradient_penalty"]


def test_sweeps_have_a_line_for_each_value(make_row: MakeRow) -> None:
    rows = rows_of(make_row)
    for share in (0.01, 0.1):
        rows += [row.model_copy(update={"sweep": "fraction", "fraction": share}) for row in rows_of(make_row)]
    page = render(rows)
    lines = [line for line in page.split("## How much is forgotten")[1].splitlines() if line.startswith("| simclr")]
    assert [line.split("|")[2].strip() for line in lines] == ["0.01", "0.1", "0.2"]
    assert "## What is forgotten" not in page
