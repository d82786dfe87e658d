from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearning.core.errors import UserError
from unlearning.reporting import comparison, summary
from unlearning.reporting.comparison import COLUMNS, ComparedCandidate, Estimate, RunComparison
from unlearning.reporting.summary import Summary

Make = Callable[..., Summary]
ENTRY = ComparedCandidate(
    paradigm="simclr", method="finetune", data="digits-simclr", condition="main", seeds=3,
    gap=Estimate(value=0.01, low=-0.02, high=0.04), auc=Estimate(value=0.52), lost=None, time=Estimate(value=0.1),
)  # fmt: skip


def document(*entries: ComparedCandidate) -> RunComparison:
    return RunComparison(title="Two <methods>", notes=("A note.",), entries=entries or (ENTRY,))


def test_every_candidate_of_every_run_is_a_row_with_what_its_verdict_says(make_summary: Make) -> None:
    runs = [make_summary("passed", "unlearned"), make_summary("leaks", "retrained", "passed", supervised=True)]
    found = comparison.of_runs(runs)
    assert [entry.verdict for entry in found.entries] == [r.verdict.outcome for run in runs for r in run.attempts]
    assert [entry.paradigm for entry in found.entries] == [run.paradigm for run in runs for _ in run.attempts]
    entry, judged = found.entries[0], runs[0].attempts[0].verdict
    furthest = max((each.difference for each in judged.comparisons), key=lambda each: abs(each.estimate))
    assert entry.gap == Estimate(value=furthest.estimate, low=furthest.low, high=furthest.high)
    worst = max(judged.utility_lost.values(), key=lambda each: each.estimate)
    assert entry.lost is not None
    assert entry.lost.value == pytest.approx(100 * worst.estimate)
    assert entry.time is not None
    assert entry.time.value == pytest.approx(runs[0].attempts[0].seconds / runs[0].models["retrained"].seconds)


def test_the_auc_is_told_of_the_candidate_that_the_report_shows_in_full_alone(make_summary: Make) -> None:
    run = make_summary("leaks", "retrained", "passed")
    rows = comparison.of_runs([run]).entries
    shown = [entry.auc is not None for entry in rows]
    assert shown == [attempt.digest == run.models["unlearned"].digest for attempt in run.attempts]


def test_nothing_retrained_has_no_time_over_retraining(make_summary: Make) -> None:
    (entry,) = comparison.of_runs([make_summary("passed", "unlearned", compared_with="references")]).entries
    assert entry.time is None
    assert "<td>none</td>" in comparison.render(document(entry))


def test_no_runs_are_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run to compare"):
        comparison.of_runs([])
    assert comparison.runs_in(tmp_path) == []


def test_the_link_to_the_latest_run_is_not_a_run_of_its_own(tmp_path: Path, make_summary: Make) -> None:
    for name in ("first", "second"):
        summary.save(make_summary(), tmp_path / name / "summary.json")
    (tmp_path / "latest").symlink_to("second")
    assert comparison.runs_in(tmp_path) == [tmp_path / "first", tmp_path / "second"]


def test_a_document_comes_back_as_it_was(tmp_path: Path) -> None:
    comparison.save(document(), tmp_path / "comparison.json")
    assert comparison.load(tmp_path / "comparison.json") == document()


@pytest.mark.parametrize(
    "broken", ["[]", '{"title": "x"}', "{", json.dumps({"title": "x", "notes": [], "entries": []})]
)
def test_what_is_no_comparison_is_refused_in_one_line(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "comparison.json"
    path.write_text(broken)
    with pytest.raises(UserError) as caught:
        comparison.load(path)
    assert "comparison" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_are_escaped_and_nothing_is_fetched() -> None:
    page = comparison.render(document(ENTRY.model_copy(update={"method": "<script>alert(1)</script>"})))
    assert "<script>alert" not in page
    assert "Two &lt;methods&gt;" in page
    assert not re.search(r"(src|href|action)=", page)
    assert "default-src 'none'" in page


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30))
def test_every_value_is_drawn_inside_and_in_order(values: list[float]) -> None:
    entries = [ENTRY.model_copy(update={"gap": Estimate(value=value)}) for value in values]
    axis = comparison._Axis.over(COLUMNS[0], entries)
    places = [axis.place(value) for value in sorted(values)]
    assert all(0 <= place <= comparison.SCALE[0] for place in places)
    assert places == sorted(places)
    assert axis.low <= 0 <= axis.high


@pytest.mark.parametrize(
    ("estimate", "told"),
    [
        (Estimate(value=-0.0004), ("0.000", "")),
        (Estimate(value=-0.02, low=-0.05, high=0.01), ("−0.020", "[−0.050, 0.010]")),
    ],
)
def test_numbers_are_told_as_people_write_them(estimate: Estimate, told: tuple[str, str]) -> None:
    assert comparison.text(estimate, 3) == told
