"""The benchmark as a page that can be sorted and filtered: `python -m benchmarks.comparison`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import rows as stored
from benchmarks.means import Mean
from benchmarks.rows import Row
from benchmarks.run import SWEEPS
from benchmarks.table import Group, group
from unlearning.core.errors import EXIT_BAD_INPUT, UserError
from unlearning.learning.paradigms import PARADIGMS
from unlearning.reporting import comparison
from unlearning.reporting.comparison import ComparedCandidate, Estimate, RunComparison

CONDITIONS = ("paradigm", "sweep", "recipe", "kind", "fraction", "epochs_factor")
"""What tells one table of methods from another."""


def of_rows(rows: Sequence[Row]) -> RunComparison:
    """Means over the seeds of every method, paradigm and sweep.

    Raises:
        UserError: there are no rows with a retrained model to compare with.
    """
    entries = tuple(_entries(rows))
    if not entries:
        raise UserError("no rows to compare: measure them with python -m benchmarks.run")
    return RunComparison(
        title="Methods of unlearning, compared",
        notes=(
            "Means over seeds with 95 % t-intervals; a row of one seed has none.",
            "Gap: AUC of the strongest of six attacks minus that of the retrained model's strongest.",
            "Lost: the accuracy that suffered most of weighted kNN, linear probe and the model's own classifier.",
            "Measured at the scale of one CPU by python -m benchmarks.run; the same figures, with what was set out to "
            "be reached, are in benchmarks/results/unlearning.md.",
        ),
        entries=entries,
    )


def _entries(rows: Sequence[Row]) -> Iterator[ComparedCandidate]:
    tables = dict.fromkeys(tuple(getattr(row, name) for name in CONDITIONS) for row in rows)
    for found in sorted(tables, key=lambda each: (SWEEPS.index(each[1]), PARADIGMS.index(each[0]))):
        named = dict(zip(CONDITIONS, found, strict=True))
        for method, each in group(rows, **named).items():
            yield _entry(named, method, each)


def _entry(named: dict[str, object], method: str, found: Group) -> ComparedCandidate:
    share = found.rows[0].fraction
    trained = "" if named["epochs_factor"] == 1 else f", {named['epochs_factor']:g} × the epochs"
    return ComparedCandidate(
        paradigm=str(named["paradigm"]),
        method=method,
        data=str(named["recipe"]),
        condition=f"{named['sweep']}: {named['kind']}, {100 * share:g} %{trained}",
        seeds=len(found.rows),
        gap=_estimate(found.gap),
        auc=_estimate(found.over_seeds(lambda row: row.strongest)),
        lost=_estimate(found.most_lost),
        time=_estimate(found.over_seeds(lambda row: row.ratio)),
    )


def _estimate(found: Mean) -> Estimate:
    if not np.isfinite(found.half):
        return Estimate(value=found.value)
    return Estimate(value=found.value, low=found.value - found.half, high=found.value + found.half)


def main(
    results: Annotated[Path, typer.Argument(help="Rows of python -m benchmarks.run.")] = Path(
        "benchmarks/results/unlearning.json"
    ),
    output: Annotated[Path, typer.Option(help="The page; its numbers lie beside it.")] = Path("build/comparison.html"),
) -> None:
    """Write the page, and the document behind it for `unlearn compare`."""
    try:
        found = of_rows(stored.load(results))
        comparison.save(found, output.with_suffix(".json"))
        comparison.write(found, output)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    typer.echo(f"{len(found.entries)} rows: {output}")


if __name__ == "__main__":
    typer.run(main)
