"""`unlearn report`, `figures` and `compare`: looking at what runs have left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from unlearning.cli import completion
from unlearning.cli.output import Json, path_text, show
from unlearning.core.errors import UserError

if TYPE_CHECKING:
    from unlearning.reporting.figures.gallery import GalleryRow

RunFolder = Annotated[
    Path | None,
    typer.Argument(help="Folder of a run; the latest one if left out.", autocompletion=completion.runs),
]


def report(
    run: RunFolder = None,
    images: Annotated[
        int, typer.Option(min=0, help="Forgotten images to show with their neighbours: personal data; none if 0.")
    ] = 0,
    json: Json = False,
) -> None:
    """Show a run's table and draw its report again, with the figures that `unlearn figures` made, if there are."""
    from unlearning.audit import inspection_results
    from unlearning.core import settings
    from unlearning.reporting import report as page
    from unlearning.reporting import summary

    folder = run or settings.from_environment().home / "latest"
    loaded = summary.load(folder / "summary.json")
    measured = [folder / "figures" / inspection_results.EVIDENCE_FILE, folder / inspection_results.EVIDENCE_FILE]
    evidence = next((inspection_results.load(path) for path in measured if path.exists()), None)
    if images and evidence is None:
        raise UserError(f"{folder} has no evidence to show images beside: measure it with unlearn figures")
    target = folder / "report.html"
    page.write(loaded, target, evidence, _gallery(folder, images))
    if json:
        show(loaded, True)
        return
    Console().print(page.short_table(loaded))
    print(page.answer(loaded))
    print(f"report: {path_text(target)}")


def _gallery(folder: Path, count: int) -> Sequence[GalleryRow]:
    if not count:
        return ()
    from pipelines.local.unlearning import artifacts_of
    from unlearning.steps.figures import gallery

    found = artifacts_of(folder)
    return gallery(
        model_paths=found.models,
        snapshot_path=found.snapshot,
        split_path=found.split,
        forget_path=found.forget,
        count=count,
    )


def figures(
    run: RunFolder = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the figures; <run>/figures if left out.")] = None,
    trace: Annotated[bool, typer.Option(help="Train the original again, to look at it as it overfits.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Json = False,
) -> None:
    """Draw the paper's figures from the models of a run: a page, SVG files and the numbers behind them.

    `unlearn report` puts figures that lie in the run's folder into the report.
    """
    from pipelines.local.unlearning import artifacts_of
    from unlearning.core import settings
    from unlearning.reporting import report as page
    from unlearning.steps.figures import measure

    folder = run or settings.from_environment().home / "latest"
    found = artifacts_of(folder)
    measured = measure(
        model_paths=found.models,
        snapshot_path=found.snapshot,
        split_path=found.split,
        forget_path=found.forget,
        trace=trace,
        device=device,
    )
    paths = page.write_figures(measured, output or folder / "figures")
    show({name: path_text(path) for name, path in paths.items()}, json)


def compare(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of runs, or one comparison in JSON; all runs of the home if left out.",
            metavar="RUN...",
            autocompletion=completion.runs,
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="The page.")] = Path("comparison.html"),
    json: Json = False,
) -> None:
    """Put runs side by side on one page: sortable, filterable, with intervals; works from a file."""
    from unlearning.core import settings
    from unlearning.reporting import comparison, summary

    given = runs or comparison.runs_in(settings.from_environment().home)
    if len(given) == 1 and given[0].is_file():
        made = comparison.load(given[0])
    else:
        made = comparison.of_runs([summary.load(folder / "summary.json") for folder in given])
    comparison.write(made, output)
    show(made, json, lambda: f"{len(made.entries)} candidates: {path_text(output)}")
