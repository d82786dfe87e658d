from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import ablation, audit
from benchmarks.ablation import AblationJob, Retraining, ablate, crossed, functions, open_jobs, retrain, run
from benchmarks.ablation_page import ABLATED, Ablated, render, row_key
from benchmarks.audit import Original, make_references
from unlearning import recipes
from unlearning.audit.audit import Compared
from unlearning.audit.results import Comparison, Interval, RecordTest
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.learning import models
from unlearning.learning.paradigms import PARADIGMS, make_paradigm
from unlearning.methods.gradient_penalty import GradientPenaltyConfig, check_function
from unlearning.recipes.recipe import override_method

SHORT = "{split: {members: 100, holdout: 60}, training: {epochs: 2}, signals: {queries: 2}}"
FEW = [{"weight": 0.0}, {"of": "embedding", "at": "members", "target": "measured", "weight": 1.0}]


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_every_setting_that_is_crossed_is_possible_and_is_another(paradigm: str) -> None:
    recipe = recipes.load(f"fashion-mnist-{paradigm}")
    seen = []
    for given in crossed(paradigm):
        found = override_method(recipe, "gradient_penalty", yaml.safe_dump(given)).method_config("gradient_penalty")
        assert isinstance(found, GradientPenaltyConfig)
        check_function(found.of, make_paradigm(recipe.paradigm))
        assert found not in seen
        seen.append(found)
    assert [each.weight for each in seen].count(0) == 1
    # The control aside, every function meets every place, target and weight.
    assert len(seen) == 1 + len({each.of for each in seen}) * 2 * 3 * len({each.weight for each in seen} - {0})
    assert {each.of for each in seen} == set(functions(paradigm))
    assert {each.target for each in seen} == {0.0, 1.0, "measured"}


def test_jobs_are_what_is_not_done_in_small_parts() -> None:
    trained = Retraining(original=Original(paradigm="moco", seed=100), turn=2)
    parts = open_jobs(trained, set())
    models_of = [each for job in parts for each in job.models]
    assert {job.trained for job in parts} == {trained}
    assert max(len(job.models) for job in parts) <= 3
    assert [name for name, _ in models_of[:4]] == ["original", "retrain", "gradient_matching", "gradient_penalty"]
    assert [given for name, given in models_of[3:]] == crossed("moco")
    done = {row_key("moco", 100, 2, *each) for each in models_of[1:-1]}
    assert [each for job in open_jobs(trained, done) for each in job.models] == [models_of[0], models_of[-1]]
    other = Retraining(original=Original(paradigm="moco", seed=100), turn=3)
    assert len(open_jobs(other, done)) == len(parts)


def interval(estimate: float) -> Interval:
    return Interval(estimate=estimate, low=estimate - 0.1, high=estimate + 0.1, level=0.9)


def test_a_row_tells_of_lira_of_single_records_and_of_the_strongest_attack() -> None:
    gaps = {"loss": -0.2, "lira_online": 0.03, "combined_forget": 0.05}
    attacks = tuple(Comparison(attack=name, difference=interval(gap)) for name, gap in gaps.items())
    tests = (
        RecordTest(measure="recognised", attack="rmia", shown=0.5, expected=0.01, difference=interval(0.49)),
        RecordTest(measure="recognised", attack="lira_online", shown=0.04, expected=0.01, difference=interval(0.03)),
        RecordTest(measure="memory", shown=0.5, expected=0.1, difference=interval(0.4)),
    )
    assert ablation.figures(Compared(attacks, tests)) == {
        "lira": 0.03, "tpr": 0.04, "memory": 0.4, "strongest": "combined_forget", "strongest_gap": 0.05
    }  # fmt: skip


def ablated(**changed: Any) -> Ablated:
    about: dict[str, Any] = {
        "paradigm": "simclr", "seed": 100, "turn": 0, "method": "gradient_penalty", "settings": {}, "outcome": "leaks",
        "lira": 0.1, "tpr": 0.02, "memory": 0.5, "strongest": "lira_online", "strongest_gap": 0.1, "knn_lost": 0.5,
        "ratio": 0.05, "context": "c", "commit": "c" * 40, "machine": "m",
    }  # fmt: skip
    return Ablated.model_validate(about | changed)


def test_the_page_puts_the_smallest_gap_first_and_means_over_forget_sets() -> None:
    small: dict[str, Any] = {"of": "loss", "at": "mixed", "target": 0.0, "weight": 10.0}
    found = [
        ablated(settings={"weight": 0.0}, lira=0.3),
        ablated(settings=small, lira=-0.01, turn=0, outcome="passed"),
        ablated(settings=small, lira=-0.03, turn=1, outcome=None),
        ablated(method="original", lira=0.4),
    ]
    table = [line for line in render(found).splitlines() if line.startswith("| `")]
    assert [line.split(" | ")[0] for line in table] == ["| `original`", "| `gradient_penalty`", "| `gradient_penalty`"]
    assert table[1].startswith("| `gradient_penalty` | loss | mixed | 0.0 | 10.0 | -0.020 ± 0.127 | 0.020 ± 0.000 |")
    assert table[1].endswith("| diverged 1, passed 1 |")
    assert table[2].startswith("| `gradient_penalty` |  |  |  | 0.0 | 0.300 | 0.020 | 0.50 | 0.100 lira_online | 0.5 |")
    assert "Seeds 100; forget sets: 2." in render(found)


def test_reported_seeds_and_unknown_paradigms_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="seed 0 is reported"):
        run(["simclr"], [0], 1, 1, tmp_path / "ablation.json")
    with pytest.raises(UserError, match="paradigm 'telepathy' is unknown"):
        run(["telepathy"], [100], 1, 1, tmp_path / "ablation.json")
    assert not list(tmp_path.iterdir())


def one_by_one(function: Callable[[Any], Any], work: Sequence[Any], **_: Any) -> Iterator[tuple[Any, Any]]:
    return ((piece, function(piece)) for piece in work)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retraining]:
    """A forget set of an original that is trained for a moment, with its references and its retrained model."""
    short = recipes.load("digits-simclr", SHORT)
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("UNLEARNING_HOME", str(tmp_path_factory.mktemp("home")))
        changed.setattr(audit, "scaled", lambda name: short)
        changed.setattr(ablation, "in_parallel", one_by_one)
        changed.setattr(ablation, "crossed", lambda paradigm: FEW)
        made = Retraining(original=Original(paradigm="simclr", seed=100), turn=0)
        make_references(made.original)
        retrain(made)
        yield made


@pytest.mark.slow
def test_the_retrained_model_is_made_once_and_what_others_are_measured_by(trained: Retraining) -> None:
    before = models.digest(trained.folder() / ablation.MODEL)
    retrain(trained)
    assert models.digest(trained.folder() / ablation.MODEL) == before
    original, retrained = ablate(AblationJob(trained=trained, models=(("original", {}), ("retrain", {}))))
    assert (original.ratio, retrained.ratio, retrained.knn_lost) == (0, 1, 0)
    assert (original.strongest_gap >= original.lira, retrained.strongest_gap >= retrained.lira) == (True, True)
    again = ablate(AblationJob(trained=trained, models=(("original", {}),)))
    assert again == [original]


@pytest.mark.slow
def test_a_method_that_diverges_is_told_and_the_others_are_kept(trained: Retraining) -> None:
    exploding = {"optimisation": {"learning_rate": 1e30, "optimiser": "sgd", "epochs": 3}}
    job = AblationJob(trained=trained, models=(("gradient_penalty", exploding), ("gradient_penalty", FEW[0])))
    diverged, control = ablate(job)
    assert diverged.outcome is None
    assert control.outcome is not None
    assert control.ratio > 0


@pytest.mark.slow
def test_interrupted_it_goes_on_and_old_rows_are_made_anew(trained: Retraining, tmp_path: Path) -> None:
    output = tmp_path / "ablation.json"
    found = run(["simclr"], [100], 1, 1, output)
    assert len(found) == 3 + len(FEW)
    assert output.with_suffix(".md").read_text().count("| `gradient_penalty` |") == len(FEW)
    document = read_json(output, "rows")
    marked = [row | {"machine": "kept"} for row in document[1:]]
    marked[0] |= {"context": "of before"}
    write_json(output, marked)
    run(["simclr"], [100], 1, 1, output)
    rows = ABLATED.validate_python(read_json(output, "rows"))
    assert len(rows) == len(document)
    assert [row.machine == "kept" for row in rows] == [False, False] + [True] * (len(rows) - 2)
    other = run(["simclr"], [100], 1, 1, output)
    assert {row.key for row in other} == {row.key for row in rows}
