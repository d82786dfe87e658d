"""`unlearn compliance …`: batches that honour erasure requests, here or step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipelines.parameters import LocalBatch
from unlearning.cli import completion
from unlearning.cli.options import options
from unlearning.cli.output import Json, path_text, show
from unlearning.compliance.batches.report import BatchReport
from unlearning.compliance.certificates.keys import KEYRING_FILE
from unlearning.compliance.requests.deadlines import clock
from unlearning.core.config import checked
from unlearning.core.errors import EXIT_NOT_PROMOTED

app = typer.Typer(help="Honour erasure requests: unlearn, audit, certify, purge.", no_args_is_help=True)


@app.callback()
def compliance() -> None:
    """Honour erasure requests: unlearn, audit, certify, purge. docs/compliance.md has the whole path."""


@app.command()
@options(LocalBatch, completions={"method": completion.methods})
def run(
    context: typer.Context,
    parameters: dict[str, Any],
    run_id: Annotated[str, typer.Option(help="Name of the batch; an unfinished one of that name is resumed.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: Json = False,
) -> None:
    """Run one batch on this machine: what a recurring run does on a cluster."""
    wanted = checked(LocalBatch, parameters)
    # Imported here: Kubeflow is needed for running pipelines only. Tasks import beside it, at the same time.
    from pipelines.local import fork_server_launch

    context.with_resource(fork_server_launch.tasks())
    from pipelines.local.compliance import run_batch

    folder, report = run_batch(wanted, run_id=run_id, quiet=quiet)
    if json:
        show(report, True)
    else:
        _show(report, folder)
    if not report.done:
        raise typer.Exit(EXIT_NOT_PROMOTED)


def _show(report: BatchReport, folder: Path) -> None:
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
    for request in report.batch.nothing_found:
        print(f"nothing found: {request}; the next batch looks again, until unlearn requests reject closes it")
    for skipped in report.batch.skipped:
        print(f"left alone: {skipped.request}: {skipped.why}")
    for why in report.uncertified:
        print(f"not certified: {why}")
    for why in (*report.batch.undone, *report.batch.damaged, *report.unusable):
        print(f"look at: {why}")
    print(f"numbers: {path_text(folder / 'batch.json')}")
    if any(each.certificate for each in report.requests):
        print(f"check:   unlearn verify FILE --keyring {path_text(folder.parent / 'keys' / KEYRING_FILE)}")
