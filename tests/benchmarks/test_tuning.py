from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import tuning
from benchmarks.spaces import OWN, candidates, nested, space
from benchmarks.tuning import Trial, best, score
from unlearning import recipes
from unlearning.errors import UserError
from unlearning.methods import METHODS
from unlearning.paradigms import PARADIGMS


def trial(seed: int = 100, **changes: Any) -> Trial:
    document = {
        "paradigm": "simclr", "seed": seed, "method": "finetune", "settings": {"epochs": 1}, "context": "c",
        "gaps": {"loss": 0.1, "view_similarity": -0.02}, "lost": {"knn": 0.03, "linear_probe": -0.5}, "ratio": 0.04,
    }  # fmt: skip
    return Trial.model_validate(document | changes)


def test_the_score_is_gap_and_loss_and_time_beyond_the_limit_each_after_averaging() -> None:
    one, other = (
        trial(),
        trial(101, gaps={"loss": -0.1, "view_similarity": -0.04}, lost={"knn": 0.01, "linear_probe": 0}),
    )
    assert score([one]) == pytest.approx(0.1 + 0.03)
    assert score([one, other]) == pytest.approx(0.03 + 0.02)
    assert score([trial(ratio=0.07)]) == pytest.approx(0.1 + 0.03 + 0.02)
    assert score([trial(ratio=0.07, paradigm="supervised")]) == pytest.approx(0.1 + 0.03)
    assert score([trial(lost={"knn": -0.2}, gaps={"loss": 0.0})]) == 0
    assert score([one, trial(101, failed="the loss became nan", gaps={}, lost={})]) == float("inf")


def test_the_best_settings_are_those_with_the_smallest_score_over_their_seeds() -> None:
    lucky = [
        trial(100, gaps={"loss": 0.0}, settings={"epochs": 1}),
        trial(101, gaps={"loss": 0.5}, settings={"epochs": 1}),
    ]
    steady = [trial(seed, gaps={"loss": 0.1}, settings={"epochs": 2}) for seed in (100, 101)]
    found = best([*lucky, *steady], "simclr", "finetune")
    assert found is not None
    assert found[0] == {"epochs": 2}
    assert best(lucky, "moco", "finetune") is None


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_every_method_gets_the_same_number_of_valid_distinct_trials(paradigm: str) -> None:
    recipe = recipes.load(f"fashion-mnist-{paradigm}")
    for method in METHODS:
        if method == "retrain" or (method, paradigm) == ("alignment_calibration", "supervised"):
            continue
        found = candidates(recipe, method, 9)
        assert len({str(each) for each in found}) == 9
        assert found[0] == recipe.method_config(method).model_dump(mode="json")
        assert found == candidates(recipe, method, 9)
        for each in found:
            METHODS[method].config.model_validate(each)
    assert set(OWN) | {"retrain"} == set(METHODS)


def test_dotted_names_become_nested_settings() -> None:
    assert nested({"a.b": 1, "a.c": 2, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}
    assert all("." not in key for key in space("simclr", "finetune"))


def test_tuning_on_a_reported_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must not choose settings"):
        tuning.tune("digits", ["simclr"], ["finetune"], [3], 2, 1, tmp_path / "tuning.json")


def test_finished_trials_are_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def made(function: Callable[..., Any], work: Any, **options: Any) -> Any:
        for job in work:
            asked.append(len(job.trials))
            current = tuning.context(recipes.load(job.recipe))
            yield (
                job,
                [trial(job.seed, method=method, settings=settings, context=current) for method, settings in job.trials],
            )

    monkeypatch.setattr(tuning, "in_parallel", made)
    output = tmp_path / "tuning.json"
    for count in (2, 2, 3):
        tuning.tune("digits", ["simclr"], ["finetune", "saliency"], [100], count, 1, output)
    assert asked == [4, 2]
