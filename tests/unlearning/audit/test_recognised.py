from __future__ import annotations

import numpy as np
import pytest

from unlearning.audit.attacks import MembershipScores
from unlearning.audit.attacks.referenced import CommonScale, online_in_place
from unlearning.audit.recognised import recognised, recognised_online
from unlearning.audit.references.training import halves


def test_the_mean_is_the_true_positive_rate() -> None:
    holdout = np.arange(1000.0)
    found = recognised(MembershipScores(np.array([988.0, 989.5, 990.5, 2000.0]), holdout))
    # Ten of a thousand may lie above: the threshold is the eleventh largest, 989.
    assert found.forget.tolist() == [0, 1, 1, 1]


def test_with_too_few_non_members_nobody_may_lie_above_them() -> None:
    found = recognised(MembershipScores(np.array([4.0, 5.0]), np.arange(5.0)))
    assert found.forget.tolist() == [0, 1]


def test_the_threshold_has_the_error_that_drawing_other_non_members_gives_it() -> None:
    """Forgotten records like the holdout, and so many of them that nothing but the threshold is left to chance."""
    draw = np.random.default_rng(0)
    forget = draw.normal(size=20_000)
    drawn = [recognised(MembershipScores(forget, draw.normal(size=1000))) for _ in range(300)]
    error = np.std([each.forget.mean() for each in drawn], ddof=1)
    told = np.mean([each.threshold.std(ddof=1) / np.sqrt(1000) for each in drawn])
    # The standard error of a standard deviation from 300 draws is 4 %.
    assert told == pytest.approx(error, rel=0.2)
    assert abs(drawn[0].threshold.mean()) < 1e-12


def test_by_online_lira_the_threshold_is_that_of_the_references_on_the_same_records() -> None:
    draw = np.random.default_rng(1)
    trained = halves(200, 10, 1)
    reference = draw.normal(size=(10, 200, 2)) + 2.0 * trained[..., None]
    shown = CommonScale(draw.normal(size=(200, 2)) + 2.0 * (np.arange(200) < 20)[:, None], reference, trained)
    ours, theirs = recognised_online(shown)
    scores = online_in_place(shown)
    threshold = np.sort(scores[1][~trained])[::-1][10]
    for found, each in zip((ours, theirs), scores, strict=True):
        for record in range(200):
            judged = [k for k in range(10) if not trained[k, record]]
            assert found.forget[record] == np.mean(each[judged, record] > threshold)
    assert theirs.forget.mean() == pytest.approx(0.01)
    assert ours.forget[:20].mean() > 10 * ours.forget[20:].mean()
    assert not len(ours.threshold)
