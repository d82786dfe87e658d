"""`unlearn compliance …`: batches that honour erasure requests, here or step by step."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from unlearning.cli.output import Json, path_text, show
from unlearning.compliance.requests.deadlines import clock
from unlearning.core.errors import EXIT_NOT_PROMOTED

app = typer.Typer(help="Honour erasure requests: unlearn, audit, certify, purge.", no_args_is_help=True)


@app.callback()
def compliance() -> None:
    """Honour erasure requests: unlearn, audit, certify, purge. docs/compliance.md has the whole path."""


@app.command()
def run(
    context: typer.Context,
    model_name: Annotated[str, typer.Option(help="Only what concerns this registered model; empty for all.")] = "",
    due_within_days: Annotated[float, typer.Option(help="Only requests due so soon; 0 for all that are open.")] = 0.0,
    lease_hours: Annotated[float, typer.Option(help="How long before another batch may take over.")] = 24.0,
    grace_days: Annotated[int, typer.Option(help="How long versions are kept that hold erased records.")] = 30,
    method: Annotated[str, typer.Option(help="See `unlearn methods`.")] = "gradient_penalty",
    method_overrides: Annotated[str, typer.Option(help="YAML laid over the method's settings.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of the unlearning and the audit.")] = 0,
    auc_margin: Annotated[float, typer.Option(help="Largest AUC gap to a model that never saw the records.")] = 0.10,
    utility_margin: Annotated[float, typer.Option(help="Largest loss of accuracy, as a share.")] = 0.03,
    stronger: Annotated[int, typer.Option(help="Stronger settings to try where it still leaks, 0 to 2.")] = 1,
    on_failure: Annotated[str, typer.Option(help="After a failed verdict: retrain or stop.")] = "retrain",
    on_inconclusive: Annotated[
        str, typer.Option(help="Where the audit cannot tell: retrain, stop, accept, accept_retrained.")
    ] = "accept_retrained",
    compare_with: Annotated[str, typer.Option(help="retrained, or references: nothing is retrained.")] = "retrained",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that train one model together; each takes a GPU of its own.")
    ] = 1,
    run_id: Annotated[str, typer.Option(help="Name of the batch; an unfinished one of that name is resumed.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: Json = False,
) -> None:
    """Run one batch on this machine: what a recurring run does on a cluster."""
    # Imported here: Kubeflow is needed for running pipelines only. Tasks import beside it, at the same time.
    from pipelines.local import fork_server_launch

    context.with_resource(fork_server_launch.tasks())
    from pipelines.local.compliance import KEYRING_FILE, LocalBatch, run_batch

    batch = LocalBatch(
        model_name=model_name,
        due_within_days=due_within_days,
        lease_hours=lease_hours,
        grace_days=grace_days,
        method=method,
        method_overrides=method_overrides,
        seed=seed,
        auc_margin=auc_margin,
        utility_margin=utility_margin,
        stronger=stronger,
        on_failure=on_failure,
        on_inconclusive=on_inconclusive,
        compare_with=compare_with,
        device=device,
        processes=processes,
    )
    folder, report = run_batch(batch, run_id=run_id, quiet=quiet)
    if json:
        show(report, True)
    else:
        table = Table("request", "status", "due", "models", "certificate in the store")
        for each in report.requests:
            told = each.request
            names = ", ".join(f"{name}: {status}" for name, status in told.models.items())
            table.add_row(told.id, told.status, clock(told.due), names, each.certificate or "none")
        if report.requests:
            Console().print(table)
        print(f"batch {report.batch.id}: {len(report.requests)} requests, {len(report.waiting)} others still open")
        for overview in report.waiting:
            print(f"waiting: {overview.id}, {overview.status}, due {clock(overview.due)} {overview.warning}".rstrip())
        for why in report.unusable:
            print(f"look at: {why}")
        print(f"numbers: {path_text(folder / 'batch.json')}")
        if any(each.certificate for each in report.requests):
            print(f"check:   unlearn verify FILE --keyring {path_text(folder.parent / 'keys' / KEYRING_FILE)}")
    if not report.done:
        raise typer.Exit(EXIT_NOT_PROMOTED)
