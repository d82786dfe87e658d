from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from unlearning.audit.decision_rates import rates
from unlearning.audit.statistics import balanced_accuracy


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0, -1.0])
def test_the_rates_are_those_of_a_slow_count(shift: float) -> None:
    draw = np.random.default_rng(0)
    members, non_members = draw.normal(shift, size=90), draw.normal(size=130)
    answers = []
    for group in (members, non_members):
        said = np.zeros(len(group), dtype=bool)
        for half in (0, 1):
            fitted = [members[half::2], non_members[half::2]]
            candidates = [np.inf, *np.sort(np.concatenate(fitted))[::-1]]
            scores = [(fitted[0] >= at).mean() - (fitted[1] >= at).mean() for at in candidates]
            said[1 - half :: 2] = group[1 - half :: 2] >= candidates[int(np.argmax(scores))]
        answers.append(said)
    found = rates(members, non_members)
    truth, said = np.repeat([1, 0], [90, 130]), np.concatenate(answers)
    assert found.accuracy == pytest.approx(balanced_accuracy(members, non_members))
    assert found.accuracy == pytest.approx((answers[0].mean() + 1 - answers[1].mean()) / 2)
    assert found.recall.estimate == pytest.approx(recall_score(truth, said))
    if found.precision is None:
        assert not said.any()
    else:
        assert found.precision.estimate == pytest.approx(precision_score(truth, said))


def test_few_non_members_cannot_resolve_one_in_a_thousand() -> None:
    draw = np.random.default_rng(1)
    members = draw.normal(3, size=50)
    few = rates(members, draw.normal(size=999))
    assert not few.resolved
    enough = rates(members, draw.normal(size=1000))
    assert enough.resolved
    # One in a thousand of 1,000 non-members may be a false positive, of 999 none.
    assert few.tpr_at_01_fpr.estimate > 0


def test_perfect_separation_and_a_threshold_that_nobody_passes() -> None:
    perfect = rates(np.full(20, 5.0), np.zeros(20))
    assert perfect.precision is not None
    assert (perfect.accuracy, perfect.precision.estimate, perfect.recall.estimate) == (1, 1, 1)
    nobody = rates(np.zeros(20), np.ones(20))
    assert nobody.accuracy == pytest.approx(0.5)
    assert nobody.precision is None
    assert nobody.recall.estimate == 0
