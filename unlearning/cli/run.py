"""`unlearn run`: both pipelines on this machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pipelines.parameters import LocalRun
from unlearning.audit.escalation import described
from unlearning.cli import completion
from unlearning.cli.options import options
from unlearning.cli.output import Json, path_text, show
from unlearning.core.config import checked
from unlearning.core.errors import EXIT_NOT_PROMOTED

if TYPE_CHECKING:
    from unlearning.reporting.summary import Summary


def _although(summary: Summary) -> str:
    return "" if summary.accepted is None else ", accepted although the audit could not tell"


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
        for attempt in summary.attempts:
            judged = f"{described(attempt.name)}: {attempt.verdict.outcome}, then {attempt.action}"
            print(f"tried:   {judged}; version {attempt.version}")
        print(f"report:  {path_text(folder / 'report.html')}")
        print(f"numbers: {path_text(folder / 'summary.json')}")
        print(f"lineage: unlearn lineage show {summary.registry.model_name}")
    if summary.promoted is None:
        raise typer.Exit(EXIT_NOT_PROMOTED)
