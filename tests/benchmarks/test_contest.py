from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.contest import distance, distances, further, lines
from benchmarks.rows import Row

MakeRow = Callable[..., Row]
RETRAINED = (0.50, 0.54, 0.52, 0.51)


def rows_of(make_row: MakeRow, **gaps: tuple[float, ...]) -> list[Row]:
    """Four seeds; of each method the AUC gap by seed, and no accuracy lost."""
    found = [make_row(seed=seed, auc=auc) for seed, auc in enumerate(RETRAINED)]
    for method, own in gaps.items():
        found += [
            make_row(seed=seed, auc=RETRAINED[seed] + gap, method=method, ratio=0.04) for seed, gap in enumerate(own)
        ]
    return found


@pytest.mark.parametrize(
    ("auc", "accuracies", "expected"),
    [
        (0.5, {"knn": 0.8, "linear_probe": 0.82, "forget_knn": 0.1}, 0),  # the forget set's accuracy is no utility
        (0.53, {"knn": 0.8, "linear_probe": 0.9, "forget_knn": 0.9}, 0.03),  # what is gained makes up for nothing
        (0.47, {"knn": 0.79, "linear_probe": 0.8, "forget_knn": 0.9}, 0.03 + 0.02),
        (0.5, {"knn": 0.75, "linear_probe": 0.8, "forget_knn": 0.9}, 0.05),
    ],
)
def test_the_distance_is_the_gap_either_way_and_the_accuracy_that_suffered_most(
    make_row: MakeRow, auc: float, accuracies: dict[str, float], expected: float
) -> None:
    assert distance(make_row(method="finetune", auc=auc, accuracies=accuracies), make_row()) == pytest.approx(expected)


def test_only_approximate_methods_with_a_retrained_model_of_their_seed_compete(make_row: MakeRow) -> None:
    rows = [*rows_of(make_row, finetune=(0.01,) * 4), make_row(method="original"), make_row(method="saliency", seed=9)]
    found = distances(rows)
    assert list(found) == ["finetune"]
    assert found["finetune"] == pytest.approx(dict.fromkeys(range(4), 0.01))


def test_a_difference_is_paired_over_the_seeds_that_both_have(make_row: MakeRow) -> None:
    """Seeds differ far more than the methods do on each."""
    near, far = (0.01, 0.2, -0.1, 0.0), (0.02, 0.21, -0.11)
    found = further(distances(rows_of(make_row, finetune=near, saliency=far)), "saliency", "finetune")
    assert found.value == pytest.approx(0.01)
    assert found.half == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("ours", "other", "best", "gradient"),
    [
        ((0.01, 0.02, 0.01, 0.02), (0.05, 0.07, 0.06, 0.05), "approximate methods: yes", "work? Yes"),
        (
            (0.05, 0.07, 0.06, 0.05),
            (0.01, 0.02, 0.01, 0.02),
            "approximate methods: no.",
            "work? No, it is nearer without",
        ),
        ((0.02, 0.01, 0.04, 0.03), (0.03, 0.02, 0.01, 0.02), "approximate methods: tied", "work? No difference shown"),
    ],
)
def test_the_page_tells_who_is_nearest_and_whether_the_gradient_does_the_work(
    make_row: MakeRow, ours: tuple[float, ...], other: tuple[float, ...], best: str, gradient: str
) -> None:
    told = lines(rows_of(make_row, gradient_matching=ours, loss_matching=other))
    assert len(told) == 2
    assert best in told[0]
    assert gradient in told[1]


def test_without_our_method_nothing_is_told(make_row: MakeRow) -> None:
    assert lines(rows_of(make_row, finetune=(0.01,) * 4)) == []
