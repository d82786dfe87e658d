"""The commands people start with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pipelines.parameters import LocalRun
from unlearning import __version__
from unlearning.audit import inspection_results
from unlearning.audit.escalation import described
from unlearning.cli import cluster, completion, compliance, keys, ledger, lineage, next_steps, requests, steps
from unlearning.cli import purge as purging
from unlearning.cli.doctor import doctor
from unlearning.cli.options import options
from unlearning.cli.output import Json, explained, path_text, show
from unlearning.cli.verify import verify
from unlearning.core.config import checked
from unlearning.core.errors import EXIT_FAILED, EXIT_NOT_PROMOTED, EXIT_OK, UserError
from unlearning.reporting.summary import Summary

if TYPE_CHECKING:
    from unlearning.reporting.figures.gallery import GalleryRow

app = typer.Typer(
    help="Make trained encoders forget, audit that they did, and keep the lineage.\n\n"
    "Start with `unlearn run`, then open the report it names.\n\n"
    "Exit codes: 0 done, 1 programming error, 2 bad input or missing service, "
    "3 finished but nothing was promoted, `ledger verify` or `doctor` found problems, or a certificate is not "
    "verified. A model that is accepted without having passed is promoted, and said to be.",
    pretty_exceptions_enable=False,
)
RunFolder = Annotated[
    Path | None,
    typer.Argument(help="Folder of a run; the latest one if left out.", autocompletion=completion.runs),
]
TRY, ERASE, LINEAGE, CLUSTER, MORE = (
    "Try and look",
    "Honour erasure requests",
    "What came from what",
    "On a cluster",
    "By hand",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"unlearn {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def unlearn(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Make trained encoders forget, audit that they did, and keep the lineage."""
    if context.invoked_subcommand is None:
        print(next_steps.text())


def _although(summary: Summary) -> str:
    return "" if summary.accepted is None else ", accepted although the audit could not tell"


@app.command(rich_help_panel=TRY)
@options(
    LocalRun,
    without=("recipe", "model_name", "run_name", "reference_tasks"),
    named={"reference_models": "references"},
    completions={"method": completion.methods},
)
def run(
    context: typer.Context,
    parameters: dict[str, Any],
    paradigm: Annotated[
        str, typer.Option(help="simclr, moco, byol or supervised.", autocompletion=completion.paradigms)
    ] = "simclr",
    dataset: Annotated[
        str,
        typer.Option(help="fashion-mnist, digits, cifar10 or image-folder.", autocompletion=completion.datasets),
    ] = "fashion-mnist",
    recipe: Annotated[
        str,
        typer.Option(help="Recipe or YAML file, instead of paradigm and dataset.", autocompletion=completion.recipes),
    ] = "",
    run_id: Annotated[str, typer.Option(help="Name of the run; an unfinished run of that name is resumed.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: Json = False,
) -> None:
    """Pretrain, forget, audit, decide and promote, on this machine."""
    from unlearning import recipes

    wanted = checked(LocalRun, parameters | {"recipe": recipe or recipes.default_recipe(dataset, paradigm)})
    recipes.text(wanted.recipe)  # one that is not there is told before anything is imported
    if not quiet and not json:
        print(f"starting: {wanted.recipe}, seed {wanted.seed}, {wanted.method}", file=sys.stderr, flush=True)
    # Imported here: Kubeflow is needed for running pipelines only. Tasks import beside it, at the same time.
    from pipelines.local import fork_server_launch

    context.with_resource(fork_server_launch.tasks())
    from pipelines.local.unlearning import run_locally
    from unlearning.reporting.report import short_table

    folder, summary = run_locally(wanted, run_id=run_id, quiet=quiet)
    if json:
        show(summary, True)
    else:
        Console().print(short_table(summary))
        print(f"verdict: {summary.verdict.outcome}; promoted: {summary.promoted or 'nothing'}{_although(summary)}")
        for rung in summary.rungs:
            judged = f"{described(rung.rung)}: {rung.verdict.outcome}, then {rung.action}"
            print(f"tried:   {judged}; version {rung.version}")
        print(f"report:  {path_text(folder / 'report.html')}")
        print(f"numbers: {path_text(folder / 'summary.json')}")
        print(f"lineage: unlearn lineage show {summary.registry.model_name}")
    if summary.promoted is None:
        raise typer.Exit(EXIT_NOT_PROMOTED)


@app.command(rich_help_panel=TRY)
def report(
    run: RunFolder = None,
    images: Annotated[
        int, typer.Option(min=0, help="Forgotten images to show with their neighbours: personal data; none if 0.")
    ] = 0,
    json: Json = False,
) -> None:
    """Show a run's table and draw its report again, with the figures that `unlearn figures` made, if there are."""
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


@app.command(rich_help_panel=TRY)
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
    from unlearning.steps.figures import draw, measure

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
    paths = draw(measured, output or folder / "figures")
    show({name: path_text(path) for name, path in paths.items()}, json)


@app.command(rich_help_panel=TRY)
def compare(
    found: Annotated[
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

    given = found or comparison.runs_in(settings.from_environment().home)
    if len(given) == 1 and given[0].is_file():
        made = comparison.load(given[0])
    else:
        made = comparison.of_runs([summary.load(folder / "summary.json") for folder in given])
    comparison.write(made, output)
    show(made, json, lambda: f"{len(made.entries)} candidates: {path_text(output)}")


@app.command("recipes", rich_help_panel=TRY)
def list_recipes(json: Json = False) -> None:
    """The recipes that come with the library."""
    from unlearning import recipes

    found = {name: recipes.load(name).description for name in recipes.names()}
    show(found, json)


@app.command("methods", rich_help_panel=TRY)
def list_methods(json: Json = False) -> None:
    """The unlearning methods, and the data each may look at beside the retain set."""
    from unlearning.methods import METHODS

    found = {name: ", ".join(sorted(method.sees)) or "nothing more" for name, method in METHODS.items()}
    show(found, json)


app.add_typer(requests.app, name="requests", rich_help_panel=ERASE)
app.add_typer(compliance.app, name="compliance", rich_help_panel=ERASE)
app.command(rich_help_panel=ERASE)(verify)
app.command(rich_help_panel=ERASE)(purging.purge)
app.add_typer(ledger.app, name="ledger", rich_help_panel=ERASE)
app.add_typer(keys.app, name="keys", rich_help_panel=ERASE)
app.add_typer(lineage.app, name="lineage", rich_help_panel=LINEAGE)
app.command(rich_help_panel=CLUSTER)(doctor)
app.command(rich_help_panel=CLUSTER)(cluster.submit)
app.command(rich_help_panel=CLUSTER)(cluster.schedule)
app.command(rich_help_panel=CLUSTER)(cluster.status)
app.add_typer(steps.app, name="step", rich_help_panel=MORE)


def main() -> None:
    """Entry point of the `unlearn` command."""
    with explained():
        try:
            sys.exit(app(standalone_mode=False) or EXIT_OK)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(EXIT_FAILED)
