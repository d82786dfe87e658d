from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unlearning.audit.results import EvaluationReport, load_evaluation
from unlearning.core.errors import UserError
from unlearning.learning import models
from unlearning.steps.evaluate import evaluate
from unlearning.steps.retrain_or_none import retrain_or_none

Chain = dict[str, Path]


def test_before_forgetting_the_original_alone_is_measured(chain: Chain) -> None:
    before = load_evaluation(chain["before"])
    assert before.models == {"original": models.digest(chain["model"])}
    assert before.accuracies["original"].forget_knn is None
    assert (before.utility_lost, before.lost_against) == ({}, None)


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
    assert after.lost_against == "retrained"


def evaluate_into(chain: Chain, path: Path, **paths: Path) -> EvaluationReport:
    given: dict[str, Any] = {f"{name}_path": chain[name] for name in ("snapshot", "split", "forget")}
    return evaluate(**given, model_paths=paths, device="cpu", evaluation_path=path)


def none_retrained(chain: Chain, path: Path) -> Path:
    given: dict[str, Any] = {f"{name}_path": chain[name] for name in ("model", "snapshot", "split", "forget")}
    retrain_or_none(**given, compare_with="references", seed=0, device="cpu", retrained_path=path)
    return path


@pytest.mark.parametrize("told", [False, True])
def test_where_nothing_was_retrained_the_original_is_what_accuracy_is_compared_with(
    chain: Chain, tmp_path: Path, told: bool
) -> None:
    """Whether no model is given, or the word that there is none."""
    paths = {"original": chain["model"], "candidate": chain["candidate"]}
    paths |= {"retrained": none_retrained(chain, tmp_path / "none")} if told else {}
    found = evaluate_into(chain, tmp_path / "evaluation", **paths)
    with_retrained = load_evaluation(chain["evaluation"])
    assert set(found.models) == set(found.accuracies) == {"original", "candidate"}
    assert found.accuracies == {name: with_retrained.accuracies[name] for name in found.models}
    assert found.lost_against == "original"
    for measure, lost in found.utility_lost.items():
        original, candidate = (getattr(found.accuracies[name], measure).estimate for name in ("original", "candidate"))
        assert lost.estimate == pytest.approx(original - candidate)
    assert found.utility_lost != with_retrained.utility_lost, "the retrained model's accuracy is another"
    assert load_evaluation(tmp_path / "evaluation") == found


@pytest.mark.parametrize("content", ["{}", "[]", "", '{"models": 3}'])
def test_a_damaged_evaluation_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "evaluation").write_text(content)
    with pytest.raises(UserError, match="evaluation") as caught:
        load_evaluation(tmp_path / "evaluation")
    assert "\n" not in str(caught.value)
