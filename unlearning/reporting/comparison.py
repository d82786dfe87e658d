"""Runs, or rows of a benchmark, side by side on one page that can be sorted and filtered.

The page is one file and fetches nothing. Its script only hides and reorders rows: without it the whole table is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from pydantic import Field

from unlearning.audit.escalation import AttemptSummary, described
from unlearning.audit.results import Interval, Outcome, farthest
from unlearning.core.config import Config, read_config
from unlearning.core.errors import UserError
from unlearning.core.files import write_json, write_text
from unlearning.reporting.html import environment
from unlearning.reporting.phrases import OUTCOMES
from unlearning.reporting.summary import Summary, retraining_seconds, strongest_attack

SCALE = 120, 18
"""Width and height in pixels of the drawing of an interval."""
FAR = 0.05
"""Share of a column's ends, on either side, that may lie beyond the drawing: they are drawn at its edge, so that one
bad row does not squeeze the others together."""
CHOICES = 24
"""Values of a column that a filter offers at most."""


class Estimate(Config):
    """A value and, where more than one was seen or it was resampled, its interval."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, interval: Interval) -> Estimate:
        """Without the coverage, which the page tells once."""
        return cls(value=interval.estimate, low=interval.low, high=interval.high)


class ComparedCandidate(Config):
    """One candidate: a row of the page. What was not measured is None."""

    paradigm: str
    method: str
    data: str = Field(description="Recipe, or what else tells rows apart.")
    condition: str = Field(description="What was forgotten, or which attempt of which run.")
    seeds: int = Field(gt=0, description="Runs behind the row.")
    gap: Estimate | None = Field(description="AUC minus that of what is compared with; ideal 0.")
    auc: Estimate | None = Field(description="Of the strongest attack; ideal: the retrained model's, about 0.5.")
    lost: Estimate | None = Field(description="Points of accuracy lost, worst measure; ideal 0 or below.")
    time: Estimate | None = Field(description="Seconds over those of retraining; below 1 is cheaper.")
    verdict: Outcome | None = None


class RunComparison(Config):
    """The document behind a page."""

    title: str
    notes: tuple[str, ...] = Field(description="What the intervals are, and where the figures come from.")
    entries: tuple[ComparedCandidate, ...] = Field(min_length=1)


def runs_in(home: Path) -> list[Path]:
    """Folders of finished runs, the oldest first; the link to the latest is not one of its own."""
    return [path.parent for path in sorted(home.glob("*/summary.json")) if not path.parent.is_symlink()]


def of_runs(summaries: Sequence[Summary]) -> RunComparison:
    """Every candidate of every run.

    Raises:
        UserError: no runs are given.
    """
    if not summaries:
        raise UserError("no run to compare: give the folders of finished runs")
    compared = sorted({found.verdict.compared_with for found in summaries})
    return RunComparison(
        title=f"Comparison of {len(summaries)} run{'s' if len(summaries) > 1 else ''}",
        notes=(
            f"Gap: of the attack that is furthest from {' or '.join(_what(each) for each in compared)}, which is "
            "further than most by choice; 90 % interval, paired on the same records.",
            "AUC: of the attack that is strongest on the run's original, on the unlearned model; 95 % interval. "
            "Other attempts of a run keep their comparisons only.",
            "Lost: the accuracy that suffered most, in percentage points; 90 % interval.",
            "Time: seconds to make the candidate over those of exact retraining, where that was done.",
        ),
        entries=tuple(entry for found in summaries for entry in _candidates(found)),
    )


def _what(compared_with: str) -> str:
    return "the retrained model" if compared_with == "retrained" else "what references show"


def _candidates(summary: Summary) -> Iterator[ComparedCandidate]:
    strongest = strongest_attack(summary)
    shown = next((each for each in summary.models["unlearned"].audit.attacks if each.name == strongest), None)
    for attempt in summary.attempts:
        judged = attempt.verdict
        worst = farthest(judged.comparisons)
        lost = list(judged.utility_lost.values())
        yield ComparedCandidate(
            paradigm=summary.paradigm,
            method=attempt.method,
            data=str(summary.recipe.get("name", summary.registry.model_name)),
            condition=f"{summary.run_id}, {described(attempt.name)}",
            seeds=1,
            gap=Estimate.of(worst.difference) if worst is not None else None,
            auc=Estimate.of(shown.auc) if shown is not None and attempt.digest == _unlearned(summary) else None,
            lost=_points(max(lost, key=lambda each: each.estimate)) if lost else None,
            time=_time(summary, attempt),
            verdict=judged.outcome,
        )


def _unlearned(summary: Summary) -> str:
    return summary.models["unlearned"].digest


def _points(interval: Interval) -> Estimate:
    return Estimate(value=100 * interval.estimate, low=100 * interval.low, high=100 * interval.high)


def _time(summary: Summary, attempt: AttemptSummary) -> Estimate | None:
    whole = retraining_seconds(summary)
    return Estimate(value=attempt.seconds / whole) if whole else None


def save(comparison: RunComparison, path: Path) -> None:
    """Write the document in one step."""
    write_json(path, comparison.model_dump(mode="json"))


def load(path: Path) -> RunComparison:
    """Read and validate the document.

    Raises:
        UserError: missing, or not a comparison.
    """
    return read_config(RunComparison, path, "comparison", "write it again with unlearn compare")


@dataclass(frozen=True)
class Column:
    """A measure on the page."""

    key: str
    title: str
    ideal: str
    digits: int
    mark: float
    """Where the ideal, or the end of what is good, is drawn."""


COLUMNS = (
    Column("gap", "AUC gap", "ideal: 0", 3, 0),
    Column("auc", "AUC", "ideal: the retrained model’s, about 0.5", 3, 0.5),
    Column("lost", "Accuracy lost (points)", "ideal: 0 or below", 1, 0),
    Column("time", "Time over retraining", "below 1 is cheaper", 3, 1),
)


def render(comparison: RunComparison) -> str:
    """The page."""
    entries = comparison.entries
    filters = {
        name: list(dict.fromkeys(str(getattr(entry, name)) for entry in entries))
        for name in ("paradigm", "method", "data", "condition")
    }
    drawn = {column.key: _Axis.over(column, entries) for column in COLUMNS}
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            comparison=comparison,
            columns=COLUMNS,
            filters={name: values for name, values in filters.items() if 1 < len(values) <= CHOICES},
            outcomes=OUTCOMES,
            judged=any(entry.verdict for entry in entries),
            draw=lambda column, estimate: Markup(drawn[column.key].svg(estimate)),  # noqa: S704 - numbers alone
            text=text,
        )
    )


def write(comparison: RunComparison, path: Path) -> None:
    """Write the page in one step."""
    write_text(path, render(comparison))


def text(estimate: Estimate, digits: int) -> tuple[str, str]:
    """The value and its interval, as people read them."""
    value = f"{estimate.value:z.{digits}f}".replace("-", "−")
    if estimate.low is None or estimate.high is None:
        return value, ""
    return value, f"[{estimate.low:z.{digits}f}, {estimate.high:z.{digits}f}]".replace("-", "−")


@dataclass(frozen=True)
class _Axis:
    """What one column's drawings share, so that rows can be compared by looking down."""

    low: float
    high: float
    mark: float

    @classmethod
    def over(cls, column: Column, entries: Iterable[ComparedCandidate]) -> _Axis:
        found = [estimate for entry in entries if (estimate := getattr(entry, column.key)) is not None]
        ends = [end for each in found for end in (each.value, each.low, each.high) if end is not None]
        low, high = np.quantile(ends, [FAR, 1 - FAR]) if ends else (column.mark, column.mark)
        return cls(min(float(low), column.mark), max(float(high), column.mark), column.mark)

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low or 1.0)
        return 6 + (SCALE[0] - 12) * min(max(share, 0.0), 1.0)

    def svg(self, estimate: Estimate) -> str:
        width, height = SCALE
        middle = height / 2
        parts = [f'<line x1="{self.place(self.mark):.1f}" x2="{self.place(self.mark):.1f}" y1="0" y2="{height}" '
                 'stroke="currentColor" stroke-dasharray="2 2" opacity=".6"/>']  # fmt: skip
        if estimate.low is not None and estimate.high is not None:
            parts.append(f'<line x1="{self.place(estimate.low):.1f}" x2="{self.place(estimate.high):.1f}" '
                         f'y1="{middle}" y2="{middle}" stroke="currentColor" stroke-width="2"/>')  # fmt: skip
        parts.append(f'<circle cx="{self.place(estimate.value):.1f}" cy="{middle}" r="4" fill="currentColor"/>')
        inside = "".join(parts)
        return (
            f'<svg aria-hidden="true" width="{width}" height="{height}" viewBox="0 0 {width} {height}">{inside}</svg>'
        )
