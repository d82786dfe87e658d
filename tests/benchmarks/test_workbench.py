from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.conditions import ForgetRequest
from benchmarks.workbench import FEWEST, Bench, Case, attack, open_case, prepare
from unlearning import recipes

SHORT = "{training: {epochs: 2}, signals: {queries: 2}}"


@pytest.fixture(scope="module")
def bench() -> Bench:
    return prepare(recipes.load("digits-simclr", SHORT), seed=0)


def case_of(bench: Bench, kind: str, fraction: float) -> Case:
    return open_case(bench, ForgetRequest(sweep="kind", kind=kind, fraction=fraction, methods=()))


def test_a_random_forget_set_meets_the_whole_holdout(bench: Bench) -> None:
    case = case_of(bench, "random", 0.2)
    assert len(case.holdout) == len(bench.split.holdout)
    assert len(case.forget) + len(case.retain) == len(bench.split.members)


def test_a_forgotten_class_meets_non_members_of_that_class_alone(bench: Bench) -> None:
    case = case_of(bench, "class", 0.2)
    (label,) = set(case.forget.labels.tolist())
    assert set(case.holdout.labels.tolist()) == {label}
    assert label not in case.retain.labels.tolist()
    labels = bench.snapshot.rows(bench.split.holdout).labels
    assert len(case.holdout) == int((labels == label).sum()) > 0


@pytest.mark.parametrize(("fraction", "expected"), [(0.02, FEWEST), (0.2, 60)])
def test_a_cluster_meets_the_non_members_nearest_to_its_middle(bench: Bench, fraction: float, expected: int) -> None:
    case = case_of(bench, "cluster", fraction)
    assert len(case.holdout) == expected
    forgotten, met, non_members = (
        np.asarray(images.flatten(1), dtype=np.float64)
        for images in (
            case.forget.images,
            case.holdout.images,
            bench.records(bench.split.holdout).images,
        )
    )
    middle = forgotten[np.linalg.norm(forgotten - forgotten.mean(axis=0), axis=1).argmin()]
    nearest = np.sort(np.linalg.norm(non_members - middle, axis=1))[:expected]
    assert np.allclose(np.sort(np.linalg.norm(met - middle, axis=1)), nearest)


def test_the_retrained_model_shares_no_draw_with_the_original_and_every_attack_sees_the_same_views(
    bench: Bench,
) -> None:
    case = case_of(bench, "random", 0.2)
    pairs = zip(bench.original.backbone.parameters(), case.retrained.backbone.parameters(), strict=True)
    assert not any(torch.equal(mine, other) for mine, other in pairs if mine.ndim > 1)
    (_, first), (_, second) = attack(case, bench.original), attack(case, bench.original)
    for name, scores in first.items():
        for mine, again in zip(scores.pair, second[name].pair, strict=True):
            assert np.array_equal(mine, again)
