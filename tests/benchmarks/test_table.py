from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from benchmarks import table
from benchmarks.rows import Row
from benchmarks.table import figure_name, figures, group, render
from unlearning.reporting.figures.methods import MethodPoint

MakeRow = Callable[..., Row]


def rows_of(make_row: MakeRow) -> list[Row]:
    found = []
    for seed, (retrained, ours) in enumerate([(0.50, 0.51), (0.54, 0.55), (0.52, 0.54)]):
        found += [
            make_row(seed=seed, auc=retrained),
            make_row(seed=seed, method="original", auc=0.8),
            make_row(
                seed=seed, method="gradient_matching", auc=ours, ratio=0.04,
                accuracies={"knn": 0.795, "linear_probe": 0.81, "forget_knn": 0.9},
            ),
        ]  # fmt: skip
    return found


def test_gaps_and_losses_are_paired_with_the_retrained_model_of_the_seed(make_row: MakeRow) -> None:
    ours = group(rows_of(make_row), paradigm="simclr", sweep="main")["gradient_matching"]
    assert ours.gap.value == pytest.approx(0.04 / 3)
    assert ours.gap.half == pytest.approx(4.302653 * 0.01 / 3, rel=1e-4)
    assert ours.lost("knn").value == pytest.approx(0.5)
    assert ours.lost("linear_probe").value == pytest.approx(1.0)


def test_a_seed_without_a_retrained_model_is_left_out(make_row: MakeRow) -> None:
    rows = [*rows_of(make_row), make_row(seed=9, method="gradient_matching", auc=0.99)]
    assert group(rows, paradigm="simclr")["gradient_matching"].gap.value == pytest.approx(0.04 / 3)


def test_the_page_answers_each_bound_and_names_seeds_commit_and_machine(make_row: MakeRow) -> None:
    page = render(rows_of(make_row))
    assert "Seeds 0, 1, 2." in page
    assert "AUC at least .65: yes (0.800 ± 0.000)" in page
    assert "within .02 of the retrained AUC: yes, but its interval reaches beyond (0.013 ± 0.014)" in page
    assert "worst measure: yes, but" not in page.split("within .02")[0]
    assert "At most 5 % of the time of retraining: yes (0.040 ± 0.000)" in page
    assert "Commits: 000000000000." in page
    assert "same code" not in page
    assert "a machine" in page
    table = [line for line in page.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in table] == ["original", "retrain", "gradient_matching"]


def test_the_page_gives_seconds_and_the_retained_members_paired_with_retraining(make_row: MakeRow) -> None:
    rows = [make_row(seed=seed, retained_auc=auc) for seed, auc in enumerate((0.6, 0.7))]
    rows += [
        make_row(seed=seed, method="finetune", retained_auc=auc - 0.05, seconds=2.0 + seed, ratio=0.1)
        for seed, auc in enumerate((0.6, 0.7))
    ]
    (line,) = [line for line in render(rows).splitlines() if line.startswith("| `finetune`")]
    retained, time = line.strip("| ").split(" | ")[-2:]
    assert retained.endswith("(-0.050 ± 0.000)")
    assert time == "0.100 ± 0.000 (2.5 s)"


def test_the_page_tells_of_a_changed_checkout_and_of_mixed_code(make_row: MakeRow) -> None:
    rows = [make_row(commit=f"{'1' * 40}-dirty"), make_row(seed=1, commit="2" * 40, code="other")]
    page = render(rows)
    assert "Commits: 111111111111-dirty, 222222222222." in page
    assert "Not all rows were measured with the same code" in page


def test_sweeps_have_a_line_for_each_value(make_row: MakeRow) -> None:
    rows = rows_of(make_row)
    for share in (0.01, 0.1):
        rows += [row.model_copy(update={"sweep": "fraction", "fraction": share}) for row in rows_of(make_row)]
    page = render(rows)
    lines = [line for line in page.split("## How much is forgotten")[1].splitlines() if line.startswith("| simclr")]
    assert [line.split("|")[2].strip() for line in lines] == ["0.01", "0.1", "0.2"]
    assert "## What is forgotten" not in page


def test_the_figure_shows_gap_and_the_accuracy_that_suffered_most(make_row: MakeRow) -> None:
    """Of `rows_of`: gaps .01, .01, .02; kNN loses half a point, the linear probe one."""
    found = figures(rows_of(make_row))
    assert list(found) == ["simclr"]
    (label,) = re.findall(r'aria-label="([^"]*)"', found["simclr"])
    assert "original +0.280 and +0.0; gradient_matching +0.013 and +1.0" in label
    assert "retrain +" not in label


def test_the_figure_has_the_intervals_of_the_table(make_row: MakeRow, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[MethodPoint] = []
    monkeypatch.setattr(table, "auc_against_accuracy", lambda methods, *_, **__: seen.extend(methods))
    figures(rows_of(make_row))
    ours = group(rows_of(make_row), paradigm="simclr", sweep="main")["gradient_matching"]
    assert [method.name for method in seen] == ["original", "gradient_matching"]
    assert (seen[1].gap.value, seen[1].gap.half) == (ours.gap.value, ours.gap.half)
    worst = ours.lost("linear_probe")
    assert (seen[1].lost.value, seen[1].lost.half) == (worst.value, worst.half)


def test_the_page_shows_a_figure_per_paradigm_by_its_file_name(make_row: MakeRow) -> None:
    rows = [*rows_of(make_row), *(row.model_copy(update={"paradigm": "byol"}) for row in rows_of(make_row))]
    page = render(rows, "my results")
    shown = re.findall(r"!\[[^\]]+\]\(([^)]*)\)", page)
    assert shown == ["my%20results-simclr.svg", "my%20results-byol.svg"]
    assert set(figures(rows)) == {"simclr", "byol"}
    assert figure_name("my results", "byol") == "my results-byol.svg"
    assert "![" not in render(rows)


def test_without_a_method_there_is_no_figure(make_row: MakeRow) -> None:
    rows = [make_row(seed=seed) for seed in range(2)]
    assert figures(rows) == {}
    assert "![" not in render(rows, "results")
