from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import measure as measuring
from benchmarks import rows, run
from benchmarks.conditions import ForgetRequest, Unit
from benchmarks.measure import measure, stamp
from benchmarks.rows import Row
from unlearning import recipes
from unlearning.core.errors import UserError

pytestmark = pytest.mark.slow

METHODS = ["gradient_matching", "finetune"]


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> Unit:
    """The bundled digits, trained for a moment."""
    short = """{training: {epochs: 4}, signals: {queries: 2}, methods: {finetune: {epochs: 1},
               gradient_matching: {optimisation: {epochs: 1}}}}"""
    monkeypatch.setattr(Unit, "load", lambda self: recipes.load(self.recipe, short))
    requests = (
        ForgetRequest(sweep="main", methods=("gradient_matching", "finetune")),
        ForgetRequest(sweep="kind", kind="class", fraction=0.1, methods=("finetune",)),
        ForgetRequest(sweep="kind", kind="cluster", fraction=0.1, methods=()),
    )
    return Unit(paradigm="simclr", recipe="digits-simclr", seed=0, requests=requests)


def test_a_unit_gives_a_row_for_every_model_and_the_same_ones_again(unit: Unit) -> None:
    found = measure(unit)
    asked = [(row.kind, row.method) for row in found]
    assert asked == [
        ("random", "retrain"), ("random", "original"), ("random", "gradient_matching"), ("random", "finetune"),
        ("class", "retrain"), ("class", "original"), ("class", "finetune"),
        ("cluster", "retrain"), ("cluster", "original"),
    ]  # fmt: skip
    for row in found:
        assert row.forgotten == {"random": 60, "cluster": 30}.get(row.kind, row.forgotten)
        assert 0 <= row.strongest <= 1
        if row.method == "retrain":
            assert all(attack.gap == 0 for attack in row.attacks.values())
            assert row.ratio == 1
    timeless = {"seconds", "ratio"}
    again = measure(unit)
    assert [row.model_dump(exclude=timeless) for row in again] == [row.model_dump(exclude=timeless) for row in found]
    assert measure(unit, done=found) == []
    without = [row for row in found if (row.kind, row.method) != ("class", "finetune")]
    assert [(row.kind, row.method) for row in measure(unit, done=without)] == asked[4:7]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, make_row: Callable[..., Row]) -> list[str]:
    """Names of measured units; measuring is instant, and the third one is interrupted."""
    names: list[str] = []

    def instantly(function: Any, work: list[Unit], **options: Any) -> Iterator[tuple[Unit, list[Row]]]:
        for each in work:
            if len(names) == 2:
                names.append("interrupted")
                raise KeyboardInterrupt
            names.append(f"{each.paradigm} {each.seed}")
            yield each, [fitting(make_row, each, method) for method in ("original", "retrain", *METHODS)]

    monkeypatch.setattr(run, "in_parallel", instantly)
    return names


def fitting(make_row: Callable[..., Row], unit: Unit, method: str) -> Row:
    settings, code = stamp(unit.load(), method)
    about = {"paradigm": unit.paradigm, "recipe": unit.recipe, "seed": unit.seed, "method": method}
    return make_row(**about, settings=settings, code=code)


def begin(output: Path) -> int:
    return run.run("digits", ["simclr", "byol"], 2, ["main"], METHODS, 1, output)


def test_an_interrupted_benchmark_goes_on_where_it_stopped(measured: list[str], tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    with pytest.raises(KeyboardInterrupt):
        begin(output)
    assert len(rows.load(output)) == 8
    assert begin(output) == 8
    assert measured == ["simclr 0", "byol 0", "interrupted", "simclr 1", "byol 1"]
    assert begin(output) == 0
    page = output.with_suffix(".md").read_text()
    assert page.count("Seeds 0, 1.") == 2
    for paradigm in ("simclr", "byol"):
        assert f"](results-{paradigm}.svg)" in page
        assert (tmp_path / f"results-{paradigm}.svg").read_text().startswith("<svg")
    assert len(list(tmp_path.iterdir())) == 4


def test_another_code_or_setting_makes_its_rows_out_of_date(
    measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured.append("not interrupted")
    output = tmp_path / "results.json"
    measured += ["not interrupted"] * 2
    assert begin(output) == 16
    monkeypatch.setattr(measuring, "code_digest", lambda: "changed")
    measured += ["not interrupted"] * 2
    assert begin(output) == 16
    assert len(rows.load(output)) == 16


@pytest.mark.parametrize(
    ("sweeps", "methods", "message"),
    [
        (["main", "moon"], METHODS, "sweep 'moon' is unknown: choose of main, fraction, kind, overfitting"),
        (["main"], ["amnesia"], "method 'amnesia' is unknown: choose of gradient_matching"),
    ],
)
def test_unknown_names_are_refused(sweeps: list[str], methods: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        run.run("digits", ["simclr"], 1, sweeps, methods, 1, tmp_path / "results.json")
