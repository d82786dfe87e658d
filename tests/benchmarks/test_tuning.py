from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import tuning
from benchmarks.spaces import OWN, candidates, neighbours, nested, space
from benchmarks.tuning import FINALISTS, Trial, ranked, score
from unlearning import recipes
from unlearning.core.errors import UserError
from unlearning.learning.paradigms import PARADIGMS
from unlearning.methods import METHODS


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


def test_settings_are_ranked_by_their_score_over_all_seeds_and_only_if_tried_on_all() -> None:
    lucky = [
        trial(100, gaps={"loss": 0.0}, settings={"epochs": 1}),
        trial(101, gaps={"loss": 0.5}, settings={"epochs": 1}),
    ]
    steady = [trial(seed, gaps={"loss": 0.1}, settings={"epochs": 2}) for seed in (100, 101)]
    unfinished = trial(100, gaps={"loss": 0.01}, settings={"epochs": 3})
    found = ranked([*lucky, unfinished, *steady], (100, 101))
    assert [settings["epochs"] for settings, _ in found] == [2, 1]
    assert [reached for _, reached in found] == pytest.approx([0.13, 0.28])
    assert [settings["epochs"] for settings, _ in ranked([*steady, unfinished, *lucky], (100,))] == [1, 3, 2]
    assert ranked([], (100,)) == []


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
        near = neighbours(paradigm, method, found[0], 6)
        assert len({str(each) for each in near}) == 6
        assert found[0] not in near
        for each in (*found, *near):
            METHODS[method].config.model_validate(each)
    assert set(OWN) | {"retrain"} == set(METHODS)


def test_a_neighbour_is_one_step_away_in_one_or_two_settings() -> None:
    method, choices = "loss_matching", space("simclr", "loss_matching")
    middle = nested({name: values[len(values) // 2] for name, values in choices.items()})

    def flat(settings: dict[str, Any]) -> dict[str, Any]:
        inner = settings["optimisation"]
        return {f"optimisation.{name}": value for name, value in inner.items()} | {
            name: value for name, value in settings.items() if name != "optimisation"
        }

    for near in neighbours("simclr", method, middle, 20):
        moved = [name for name, value in flat(near).items() if value != flat(middle)[name]]
        assert 1 <= len(moved) <= 2
        for name in moved:
            places = choices[name].index(flat(near)[name]), choices[name].index(flat(middle)[name])
            assert abs(places[0] - places[1]) == 1


def test_dotted_names_become_nested_settings() -> None:
    assert nested({"a.b": 1, "a.c": 2, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}
    assert all("." not in key for key in space("simclr", "finetune"))


def test_tuning_on_a_reported_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must not choose settings"):
        tuning.tune("digits", ["simclr"], ["finetune"], [3], 2, 1, tmp_path / "tuning.json")


class Bench:
    """Makes trials at once: a setting's only flaw is how far its learning rate is from 0.003."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rounds: list[list[Any]] = []
        monkeypatch.setattr(tuning, "in_parallel", self.made)

    def made(self, function: Callable[..., Any], work: Any, **options: Any) -> Any:
        self.rounds.append([(job.seed, *pair) for job in work for pair in job.trials])
        for job in work:
            about = {"context": tuning.context(recipes.load(job.recipe)), "lost": {"knn": 0.0}}
            yield (
                job,
                [
                    trial(job.seed, method=method, settings=settings, gaps={"loss": self.flaw(settings)}, **about)
                    for method, settings in job.trials
                ],
            )

    @staticmethod
    def flaw(settings: dict[str, Any]) -> float:
        rate: float = settings.get("optimisation", settings)["learning_rate"]
        return abs(rate - 0.003)


def test_finished_trials_are_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two methods, four screened settings each; then two of those on the other seed, and two more on both."""
    bench = Bench(monkeypatch)
    output = tmp_path / "tuning.json"
    for _ in range(2):
        tuning.tune("digits", ["simclr"], ["finetune", "saliency"], [100, 101], 6, 1, output)
    assert [len(made) for made in bench.rounds] == [8, 2 * (2 + 2 * 2)]


def test_the_best_screened_settings_and_some_around_the_very_best_are_tried_on_every_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(monkeypatch)
    found = tuning.tune("digits", ["simclr"], ["saliency"], [100, 101], 9, 1, tmp_path / "tuning.json")
    screened, finals = bench.rounds
    assert {seed for seed, _, _ in screened} == {100}
    flaws = sorted(bench.flaw(settings) for _, _, settings in screened)
    by_seed = {seed: [settings for at, _, settings in finals if at == seed] for seed in (100, 101)}
    assert len(by_seed[100]) == 3  # the finalists were tried there before
    assert [bench.flaw(settings) for settings in by_seed[101][:FINALISTS]] == flaws[:FINALISTS]
    assert by_seed[101][FINALISTS:] == by_seed[100]
    known = [settings for _, _, settings in screened]
    assert by_seed[100] == neighbours("simclr", "saliency", by_seed[101][0], 3, known)
    (chosen, reached), *rest = ranked(found, (100, 101))
    assert len(rest) == FINALISTS - 1 + 3
    assert reached == min(bench.flaw(settings) for settings in by_seed[101]) == bench.flaw(chosen)
