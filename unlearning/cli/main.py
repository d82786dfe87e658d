"""The commands people start with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from unlearning.cli import cluster, compliance, keys, ledger, lineage, requests, steps
from unlearning.cli import purge as purging
from unlearning.cli.doctor import doctor
from unlearning.cli.output import Json, explained, path_text, show
from unlearning.cli.verify import verify
from unlearning.errors import EXIT_NOT_PROMOTED
from unlearning.ladder import described
from unlearning.summary import Summary

app = typer.Typer(
    help="Make trained encoders forget, audit that they did, and keep the lineage.\n\n"
    "Start with `unlearn run`, then open the report it names.\n\n"
    "Exit codes: 0 done, 1 programming error, 2 bad input or missing service, "
    "3 finished but nothing was promoted, `ledger verify` or `doctor` found problems, or a certificate is not "
    "verified. A model that is accepted without having passed is promoted, and said to be.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(steps.app, name="step")
app.add_typer(lineage.app, name="lineage")
app.add_typer(requests.app, name="requests")
app.add_typer(ledger.app, name="ledger")
app.add_typer(keys.app, name="keys")
app.add_typer(compliance.app, name="compliance")
app.command()(verify)
app.command()(purging.purge)
app.command()(doctor)
app.command()(cluster.submit)
app.command()(cluster.schedule)
app.command()(cluster.status)


def _although(summary: Summary) -> str:
    return "" if summary.accepted is None else ", accepted although the audit could not tell"


@app.command()
def run(
    context: typer.Context,
    paradigm: Annotated[str, typer.Option(help="simclr, moco, byol or supervised.")] = "simclr",
    dataset: Annotated[str, typer.Option(help="fashion-mnist, digits, cifar10 or image-folder.")] = "fashion-mnist",
    recipe: Annotated[str, typer.Option(help="Recipe or YAML file, instead of paradigm and dataset.")] = "",
    overrides: Annotated[str, typer.Option(help="YAML laid over the recipe.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of every random draw.")] = 0,
    method: Annotated[str, typer.Option(help="See `unlearn methods`.")] = "gradient_penalty",
    method_overrides: Annotated[str, typer.Option(help="YAML laid over the method's settings.")] = "",
    forget_kind: Annotated[str, typer.Option(help="random, class, cluster or records.")] = "random",
    forget_fraction: Annotated[float, typer.Option(help="Share of the members, for random.")] = 0.2,
    forget_class: Annotated[str, typer.Option(help="Class to forget, for class.")] = "",
    forget_ids: Annotated[str, typer.Option(help="JSON list of record ids, for records.")] = "",
    include_near_duplicates: Annotated[
        bool, typer.Option("--include-near-duplicates", help="Also forget members that nearly repeat a forgotten one.")
    ] = False,
    auc_margin: Annotated[float, typer.Option(help="Largest AUC gap to what is compared with.")] = 0.10,
    utility_margin: Annotated[float, typer.Option(help="Largest loss of accuracy, as a share.")] = 0.03,
    stronger: Annotated[int, typer.Option(help="Stronger settings to try where it still leaks, 0 to 2.")] = 1,
    on_failure: Annotated[str, typer.Option(help="After a failed verdict: retrain or stop.")] = "retrain",
    on_inconclusive: Annotated[
        str, typer.Option(help="Where the audit cannot tell: retrain, stop, accept, accept_retrained.")
    ] = "retrain",
    references: Annotated[
        int, typer.Option(help="Reference models for the per-record attacks: even, 8 or more; 0 for none.")
    ] = 0,
    erased: Annotated[
        str, typer.Option(help="Erased records that the source still holds: refuse to train, or drop them.")
    ] = "refuse",
    compare_with: Annotated[
        str, typer.Option(help="retrained: train a model without the forgotten records; references: retrain nothing.")
    ] = "retrained",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    run_id: Annotated[str, typer.Option(help="Name of the run; an unfinished run of that name is resumed.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: Json = False,
) -> None:
    """Pretrain, forget, audit, decide and promote, on this machine."""
    # Imported here: Kubeflow is needed for running pipelines only. Tasks import beside it, at the same time.
    from pipelines import warm

    context.with_resource(warm.tasks())
    from pipelines.local import LocalRun, run_locally
    from unlearning import recipes
    from unlearning.report import short_table

    parameters = LocalRun(
        recipe=recipe or recipes.default_recipe(dataset, paradigm),
        overrides=overrides,
        seed=seed,
        forget_kind=forget_kind,
        forget_fraction=forget_fraction,
        forget_class=forget_class,
        forget_ids=forget_ids,
        include_near_duplicates=include_near_duplicates,
        method=method,
        method_overrides=method_overrides,
        auc_margin=auc_margin,
        utility_margin=utility_margin,
        stronger=stronger,
        on_failure=on_failure,
        on_inconclusive=on_inconclusive,
        references=references,
        erased=erased,
        compare_with=compare_with,
        device=device,
    )
    folder, summary = run_locally(parameters, run_id=run_id, quiet=quiet)
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


@app.command()
def report(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run; the latest one if left out.")] = None,
    json: Json = False,
) -> None:
    """Show a run's table and draw its report again: from summary.json, and figures/evidence.json if it is there."""
    from unlearning import report as page
    from unlearning import settings, summary
    from unlearning.figures import numbers

    folder = run or settings.from_environment().home / "latest"
    loaded = summary.load(folder / "summary.json")
    target, measured = folder / "report.html", folder / "figures" / numbers.EVIDENCE_FILE
    page.write(loaded, target, numbers.load(measured) if measured.exists() else None)
    if json:
        show(loaded, True)
        return
    Console().print(page.short_table(loaded))
    print(page.answer(loaded))
    print(f"report: {path_text(target)}")


@app.command()
def figures(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run; the latest one if left out.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the figures; <run>/figures if left out.")] = None,
    trace: Annotated[bool, typer.Option(help="Train the original again, to look at it as it overfits.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Json = False,
) -> None:
    """Draw the paper's figures from the models of a run: a page, SVG files and the numbers behind them.

    `unlearn report` puts figures that lie in the run's folder into the report.
    """
    from pipelines.local import artifacts_of
    from unlearning import settings
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


@app.command("recipes")
def list_recipes(json: Json = False) -> None:
    """The recipes that come with the library."""
    from unlearning import recipes

    found = {name: recipes.load(name).description for name in recipes.names()}
    show(found, json)


@app.command("methods")
def list_methods(json: Json = False) -> None:
    """The unlearning methods, and the data each may look at beside the retain set."""
    from unlearning.methods import METHODS

    found = {name: ", ".join(sorted(method.sees)) or "nothing more" for name, method in METHODS.items()}
    show(found, json)


def main() -> None:
    """Entry point of the `unlearn` command."""
    with explained():
        try:
            app()
        except BrokenPipeError:
            sys.stderr.close()
