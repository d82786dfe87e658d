from __future__ import annotations

from pathlib import Path

import pytest

from unlearning import models
from unlearning.errors import UserError
from unlearning.steps.evaluate import load_evaluation

Chain = dict[str, Path]


def test_before_forgetting_the_original_alone_is_measured(chain: Chain) -> None:
    before = load_evaluation(chain["before"])
    assert before.models == {"original": models.digest(chain["model"])}
    assert before.accuracies["original"].forget_knn is None
    assert before.utility_lost == {}


def test_a_trained_model_is_better_than_chance(chain: Chain) -> None:
    measured = load_evaluation(chain["before"]).accuracies["original"]
    assert measured.classifier is not None
    for interval in (measured.knn, measured.linear_probe, measured.classifier):
        assert interval.low > 0.2, "ten classes: chance is 0.1"


def test_after_forgetting_all_three_are_measured_on_the_forget_set_too(chain: Chain) -> None:
    after = load_evaluation(chain["evaluation"])
    assert set(after.models) == set(after.accuracies) == {"original", "candidate", "retrained"}
    assert all(measured.forget_knn is not None for measured in after.accuracies.values())


def test_what_was_lost_is_the_difference_to_the_retrained_model(chain: Chain) -> None:
    after = load_evaluation(chain["evaluation"])
    candidate, retrained = after.accuracies["candidate"], after.accuracies["retrained"]
    assert set(after.utility_lost) == {"knn", "linear_probe", "classifier"}
    difference = retrained.knn.estimate - candidate.knn.estimate
    assert after.utility_lost["knn"].estimate == pytest.approx(difference)


@pytest.mark.parametrize("content", ["{}", "[]", "", '{"models": 3}'])
def test_a_damaged_evaluation_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "evaluation").write_text(content)
    with pytest.raises(UserError, match="evaluation") as caught:
        load_evaluation(tmp_path / "evaluation")
    assert "\n" not in str(caught.value)
