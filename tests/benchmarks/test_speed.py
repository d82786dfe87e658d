from __future__ import annotations

import builtins
import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import speed, speed_lightly, speed_memory, speed_rows, speed_steps
from benchmarks.speed import Plan, measure
from benchmarks.speed_page import render
from benchmarks.speed_rows import Goal, Memory, Ratio, Speed, interleaved, median_interval, ratio
from benchmarks.workbench import prepare
from unlearning import recipes
from unlearning.core.errors import UserError

AT_MOST = Goal(side="at most", bound=3)
AT_LEAST = Goal(side="at least", bound=3)
SHORT = """{training: {epochs: 1}, signals: {queries: 1},
           methods: {gradient_matching: {optimisation: {epochs: 2}, active: 0.5}}}"""
TINY = Plan(repeats=1, unlearning_repeats=1, step_epochs=1, simclr_epochs=1)


@pytest.mark.parametrize("count", range(1, 16))
def test_the_interval_of_a_median_is_the_narrowest_that_covers_it(count: int) -> None:
    """Each of n values is below the true median or above it with even odds: count all 2ⁿ outcomes."""
    middle, low, high = median_interval([float(value) for value in range(count)][::-1])
    assert middle == (count - 1) / 2
    assert low + high == count - 1

    def covers(first: int) -> float:
        """How often the median is neither below the value at place `first`, nor above that at its mirror image."""
        below = [sum(signs) for signs in itertools.product((0, 1), repeat=count)]
        return math.ldexp(sum(first < number < count - first for number in below), -count)

    if count < 6:
        assert low == 0
        return
    assert covers(int(low)) >= 0.95
    assert covers(int(low) + 1) < 0.95


def test_ratios_are_of_pairs_so_that_a_machine_that_slows_down_cancels() -> None:
    slow = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    found = ratio("a", "b", "simclr", [2.5 * value for value in slow], slow, units=4, goal=AT_MOST)
    assert (found.median, found.low, found.high) == (2.5, 2.5, 2.5)
    assert (found.seconds, found.over_seconds) == (5.0, 2.0)
    assert (found.repeats, found.held) == (7, "held")


def test_pieces_take_turns_and_the_first_round_does_not_count() -> None:
    turns: list[str] = []
    found = interleaved({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, 3)
    assert turns == ["a", "b"] * 4
    assert {name: len(seconds) for name, seconds in found.items()} == {"a": 3, "b": 3}


@pytest.mark.parametrize(
    ("goal", "figures", "said"),
    [
        (AT_MOST, (2.5, 2.0, 3.0), "held"),
        (AT_MOST, (2.5, 2.0, 3.1), "held, but its interval reaches beyond"),
        (AT_MOST, (3.1, 2.0, 3.2), "not held"),
        (AT_LEAST, (9.0, 3.0, 20.0), "held"),
        (AT_LEAST, (9.0, 2.9, 20.0), "held, but its interval reaches beyond"),
        (AT_LEAST, (2.9, 2.0, 20.0), "not held"),
    ],
)
def test_a_goal_is_held_by_the_figure_and_by_its_whole_interval(
    goal: Goal, figures: tuple[float, float, float], said: str
) -> None:
    assert goal.held(*figures) == said


def found_ratio(**changes: Any) -> Ratio:
    document = {
        "what": "penalty step, stage 1", "over": "plain step", "paradigm": "simclr", "median": 2.5, "low": 2.4,
        "high": 2.6, "repeats": 9, "seconds": 0.05, "over_seconds": 0.02, "goal": AT_MOST, "note": "",
    }  # fmt: skip
    return Ratio.model_validate(document | changes)


def found_speed(**changes: Any) -> Speed:
    memory = Memory(
        what="pretraining", paradigm="simclr", records=50000, mebibytes=3000, imports=600,
        goal=speed_memory.GOAL,
    )  # fmt: skip
    document = {
        "ratios": (found_ratio(),), "memory": (memory,), "dataset": "digits", "seed": 100, "commit": "0" * 40,
        "machine": "a machine, 1 thread", "torch": "2", "threads": 1, "seconds": 90.0,
    }  # fmt: skip
    return Speed.model_validate(document | changes)


def test_the_page_says_of_each_figure_whether_its_goal_is_held() -> None:
    rows = (
        found_ratio(),
        found_ratio(paradigm="moco", median=3.5, low=3.2, high=3.6),
        found_ratio(
            what="lightly's epoch", over="ours", goal=AT_LEAST, median=20, low=2, high=30, note="num_workers=0"
        ),
        found_ratio(what="unlearning", over="retraining", goal=None),
    )
    page = render(found_speed(ratios=rows))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:2] == "| "]
    held = {(line[0], line[1]): line[-1] for line in cells}
    assert held["simclr", "penalty step, stage 1"] == "held"
    assert held["moco", "penalty step, stage 1"] == "not held"
    assert held["simclr", "lightly's epoch (num_workers=0)"] == "held, but its interval reaches beyond"
    assert held["simclr", "unlearning"] == "—"
    assert held["simclr", "pretraining"] == "not held"
    assert "2.5 [2.4, 2.6]" in page
    assert "0.05 / 0.02" in page
    for where in ("0" * 40, "a machine, 1 thread", "seed 100", "took 90 s"):
        assert where in page


def test_sections_without_figures_are_left_out() -> None:
    page = render(found_speed(memory=(), skipped=("one thing",)))
    assert "## Peak memory" not in page
    assert "lightly" not in page
    assert "- one thing" in page.split("## Not measured")[1]


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    speed_rows.save(found_speed(), path)
    assert speed_rows.load(path) == found_speed()
    path.write_text("{}")
    with pytest.raises(UserError, match=r"speed results .*speed.json: Field required: measure again"):
        speed_rows.load(path)


@pytest.fixture
def without_lightly(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importing(name: str, *rest: Any, **named: Any) -> Any:
        if name.split(".")[0] == "lightly":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", importing)


@pytest.mark.usefixtures("without_lightly")
def test_without_lightly_the_rest_is_measured_and_the_page_says_what_to_install() -> None:
    found = measure([recipes.load("digits-simclr", SHORT)], [], TINY, dataset="digits", seed=100)
    assert [(row.what, row.over) for row in found.ratios] == [
        ("penalty step, stage 1", "plain step"),
        ("penalty step, stage 2", "plain step"),
        ("unlearning", "retraining"),
    ]
    assert all(math.isfinite(row.median) and row.median > 0 for row in found.ratios)
    assert (found.skipped, found.threads) == ((speed_lightly.INSTALL,), 1)
    assert "pip install --editable '.[benchmark]'" in render(found)


@pytest.mark.skipif(not speed_lightly.installed(), reason="needs the extra `benchmark`")
def test_lightly_is_measured_without_a_worker_and_with_one() -> None:
    bench = prepare(recipes.load("digits-simclr", SHORT), seed=100)
    rows = speed_lightly.simclr_epochs(bench, epochs=1, repeats=1)
    assert [row.note for row in rows] == ["num_workers=0", "num_workers=1"]
    assert all(row.median > 1 for row in rows)


def test_penalised_steps_are_those_the_recipe_leaves_active() -> None:
    """Half of the steps: 2 epochs over 240 retained records in batches of 80 (at most 100), the first 3."""
    short = """{training: {epochs: 1}, methods: {gradient_matching: {optimisation: {epochs: 2, batch_size: 100},
               active: 0.5, tolerance: null}}}"""
    parts = speed_steps.parts_of(prepare(recipes.load("digits-simclr", short), seed=100))
    assert len(parts.retain) == 240
    assert speed_steps.penalised_steps(parts) == 3
    assert speed_steps.unlearning(parts, repeats=2).note == "3 of 6 steps with the penalty"


def test_in_the_step_measured_the_penalty_never_rests() -> None:
    recipe = recipes.load("fashion-mnist-simclr")
    config = speed_steps._always(recipe.methods.gradient_matching, 3, drift=True)
    assert (config.tolerance, config.active, config.optimisation.epochs) == (None, 1.0, 3)
    assert config.distillation == recipe.methods.gradient_matching.distillation > 0
    assert speed_steps._always(config, 3, drift=False).distillation == 0


def test_memory_is_that_of_the_work_whatever_its_parent_had_taken() -> None:
    """300 MiB in the parent, 64 MiB in the child: the child's alone must be seen."""
    child = "from benchmarks.speed_resident import peak_above_now as p; print(p(lambda: b'1' * 2**26)[1])"
    parent = (
        "import subprocess, sys; taken = b'1' * (300 * 2**20); "
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert 60 < float(done.stdout) < 70


def test_every_part_of_a_pipeline_has_its_memory_measured() -> None:
    recipe = recipes.load("digits-simclr", SHORT)
    for what in speed_memory.TASKS:
        found = speed_memory.measure(speed_memory.Task(what=what, recipe=recipe, seed=100))
        assert (found.what, found.paradigm, found.records) == (what, "simclr", 300)


@pytest.fixture
def instantly(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []

    def measured(*arguments: Any, **named: Any) -> Speed:
        asked.append((arguments, named))
        return found_speed(skipped=(speed_lightly.INSTALL,))

    monkeypatch.setattr(speed, "measure", measured)
    return asked


def command(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(speed.main)
    return CliRunner().invoke(app, list(arguments))


def test_the_command_writes_figures_and_page_and_says_what_is_missing(instantly: list[Any], tmp_path: Path) -> None:
    output = tmp_path / "speed.json"
    done = command("--output", str(output), "--paradigm", "simclr")
    assert done.exit_code == 0
    assert speed_lightly.INSTALL in done.output
    assert speed_rows.load(output).seed == 100
    assert output.with_suffix(".md").read_text() == render(speed_rows.load(output))
    ((chosen, memory_of, plan), named) = instantly[0]
    assert [recipe.name for recipe in chosen] == ["fashion-mnist-simclr"]
    assert [recipe.data.limit for recipe in memory_of] == [None]
    assert (plan, named) == (Plan(), {"dataset": "fashion-mnist", "seed": 100})


def test_a_quick_run_does_not_overwrite_the_results(instantly: list[Any], tmp_path: Path) -> None:
    assert command("--quick", "--no-memory", "--output", str(tmp_path / "speed.json")).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["speed-quick.json", "speed-quick.md"]
    assert instantly[0][0][1] == []


def test_an_unknown_paradigm_is_told_in_one_line() -> None:
    done = command("--paradigm", "amnesia")
    assert done.exit_code == 2
    assert "paradigm 'amnesia' is unknown" in done.output
