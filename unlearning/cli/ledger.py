"""`unlearn ledger …`: what happened to a request, and whether the ledger is as it was left."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unlearning.cli.output import Json, show
from unlearning.compliance.ledger.hash_chain import History, Problem
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.ledger.verification import verify, verify_request
from unlearning.core import settings
from unlearning.core.errors import EXIT_PROBLEMS, UnknownRequestError
from unlearning.core.files import canonical_json
from unlearning.storage.open import open_store

app = typer.Typer(help="Events of erasure requests: show and verify.", no_args_is_help=True)


@app.command("verify")
def verify_ledger(
    request: Annotated[str, typer.Argument(help="Only this request; all if left out.", metavar="ID")] = "",
    json: Json = False,
) -> None:
    """Look for anything changed, missing, reordered or inserted; exit code 3 if there is something."""
    store = open_store(settings.from_environment().store)
    problems = list(verify_request(store, request) if request else verify(store))
    if json:
        show([problem.model_dump(mode="json") | {"damage": problem.damage} for problem in problems], True)
    else:
        for problem in problems:
            print(_line(problem))
        damage = sum(problem.damage for problem in problems)
        print(f"problems: {damage}; left behind, to be put right by the next batch: {len(problems) - damage}")
    if problems:
        raise typer.Exit(EXIT_PROBLEMS)


def _line(problem: Problem) -> str:
    where = problem.request if problem.sequence is None else f"{problem.request} event {problem.sequence}"
    return f"{where}: {problem.kind}: {problem.text}"


@app.command("show")
def show_events(
    request: Annotated[str, typer.Argument(help="Its id.", metavar="ID")],
    json: Json = False,
) -> None:
    """Every event of a request."""
    history = Ledger(open_store(settings.from_environment().store)).history(request)
    if history is None:
        raise UnknownRequestError(f"request {request!r} is not in the ledger: add it first")
    if json:
        show([event.model_dump(mode="json") for event in history.events], True)
    else:
        Console().print(_table(history))


def _table(history: History) -> Table:
    table = Table("event", "at (UTC)", "kind", "by", title=escape(history.request))
    table.add_column("details", overflow="fold")
    for event in history.events:
        details = event.details.model_dump(mode="json", exclude={"kind"})
        at = f"{event.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(*map(escape, (str(event.sequence), at, event.details.kind, event.by, canonical_json(details))))
    return table
