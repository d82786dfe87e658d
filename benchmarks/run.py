"""`python -m benchmarks.run`: measure every method on every paradigm and write the results."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import rows, table
from benchmarks.conditions import Unit, units
from benchmarks.measure import measure, wanted
from benchmarks.pool import in_parallel
from unlearning.core.errors import UserError
from unlearning.core.files import write_text
from unlearning.learning.paradigms import PARADIGMS
from unlearning.methods import METHODS

SWEEPS = ("main", "fraction", "kind", "overfitting")


def _label(unit: Unit) -> str:
    return f"{unit.paradigm} seed {unit.seed}"


def run(
    dataset: str, paradigms: list[str], seeds: int, sweeps: list[str], methods: list[str], jobs: int, output: Path
) -> int:
    """Measure what is missing in `output` and write it anew after each unit; the number of new rows."""
    for kind, given, known in (("sweep", sweeps, SWEEPS), ("method", methods, tuple(METHODS))):
        if unknown := set(given) - set(known):
            raise UserError(f"{kind} {min(unknown)!r} is unknown: choose of {', '.join(known)}")
    done = {row.key: row for row in rows.load(output)}
    work = [
        unit
        for unit in units(dataset, paradigms=paradigms, seeds=seeds, sweeps=sweeps, methods=methods)
        if any(wanted(unit, request, done.values()) for request in unit.requests)
    ]
    fresh = 0
    for _, found in in_parallel(partial(measure, done=tuple(done.values())), work, jobs=jobs, label=_label):
        fresh += len(found)
        done |= {row.key: row for row in found}
        rows.save(list(done.values()), output)
        _write(list(done.values()), output)
    _write(list(done.values()), output)
    return fresh


def _write(found: list[rows.Row], output: Path) -> None:
    """The page, and the figures it shows, beside the results."""
    for paradigm, drawn in table.figures(found).items():
        write_text(output.with_name(table.figure_name(output.stem, paradigm)), drawn)
    write_text(output.with_suffix(".md"), table.render(found, output.stem))


def main(
    quick: Annotated[
        bool, typer.Option(help="Bundled digits, two seeds, the main table: minutes, not an hour.")
    ] = False,
    paradigm: Annotated[list[str] | None, typer.Option(help="Only these; repeat for more.")] = None,
    seeds: Annotated[int, typer.Option(help="How many, from 0.")] = 5,
    sweep: Annotated[list[str] | None, typer.Option(help="main, fraction, kind, overfitting or all.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Only these; repeat for more.")] = None,
    jobs: Annotated[int, typer.Option(help="Processes side by side, one thread each.")] = 2,
    output: Annotated[Path, typer.Option(help="JSON; the page and the figures beside it have the same name.")] = Path(
        "benchmarks/results/unlearning.json"
    ),
) -> None:
    """Compare the methods. Interrupted, it goes on where it stopped."""
    methods = method or [name for name in METHODS if name != "retrain"]
    sweeps = list(SWEEPS) if not sweep or "all" in sweep else sweep
    if quick:
        output = output.with_name("quick.json") if output.name == "unlearning.json" else output
    try:
        fresh = run(
            "digits" if quick else "fashion-mnist",
            paradigm or list(PARADIGMS),
            2 if quick else seeds,
            ["main"] if quick else sweeps,
            methods,
            jobs,
            output,
        )
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{fresh} rows measured; results in {output} and {output.with_suffix('.md')}")


if __name__ == "__main__":
    typer.run(main)
