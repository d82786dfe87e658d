from __future__ import annotations

import numpy as np
import pytest

from unlearning.audit.attacks import MembershipScores
from unlearning.audit.statistics import Scores, clustered_error, placements


def test_without_clusters_they_are_the_plain_placements() -> None:
    draw = np.random.default_rng(0)
    scores = MembershipScores(draw.normal(size=7), draw.normal(size=9), 1.5)
    for found, wanted in zip(scores.placements, placements(*scores.pair), strict=True):
        assert np.array_equal(found, wanted)
    assert scores.comparison_factor == 1.5


def clustered(draw: np.random.Generator, level: Scores, looks: int = 6) -> MembershipScores:
    """A model and others that look at the same records."""
    records = np.repeat(np.arange(len(level)), looks)
    return MembershipScores(
        level + draw.normal(size=len(level)), level[records] + draw.normal(size=len(records)), 0.7, records
    )


def test_with_clusters_the_mean_is_the_area_and_the_spread_gives_the_clustered_error() -> None:
    draw = np.random.default_rng(1)
    scores = clustered(draw, draw.normal(size=40))
    members, spread = scores.placements
    assert scores.clusters is not None
    assert members.mean() == pytest.approx(placements(*scores.pair)[0].mean())
    assert members.std(ddof=1) / np.sqrt(40) == pytest.approx(clustered_error(*scores.pair, scores.clusters))
    assert spread.tolist() == [0, 0]
    assert scores.comparison_factor == 1


def test_the_parts_that_make_the_scale_add_the_error_of_a_jackknife() -> None:
    draw = np.random.default_rng(2)
    plain, parts = clustered(draw, draw.normal(size=40)), tuple(draw.normal(0.5, 0.01, size=10))
    scores = MembershipScores(*plain.pair, 1.0, plain.clusters, parts)
    _, spread = scores.placements
    assert spread.mean() == pytest.approx(0)
    assert spread.var(ddof=1) / 10 == pytest.approx(9 / 10 * np.square(np.asarray(parts) - np.mean(parts)).sum())


def test_the_error_of_a_difference_is_that_of_two_models_on_the_same_records() -> None:
    """Both are held against the same looks: what these share falls out, and what single records share stays."""
    draw = np.random.default_rng(3)
    found, told = [], []
    for _ in range(400):
        level = draw.normal(size=40)
        first = clustered(draw, level)
        second = MembershipScores(level + draw.normal(size=40), first.holdout, 0.7, first.clusters)
        gap = first.placements[0] - second.placements[0]
        found.append(gap.mean())
        told.append(gap.std(ddof=1) / np.sqrt(40))
    # The standard error of a standard deviation from 400 draws is 3.5 %.
    assert np.mean(told) == pytest.approx(np.std(found, ddof=1), rel=0.12)
