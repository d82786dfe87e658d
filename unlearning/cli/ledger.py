"""`unlearn ledger …`: what happened to a request, and whether everything is as it was left."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unlearning.cli.output import Json, path_text, show
from unlearning.cli.verify import trusted_keys
from unlearning.compliance.certificates import keys
from unlearning.compliance.certificates.keyring import Keyring, TrustedKey, trusted
from unlearning.compliance.checkpoints import verification as checkpoints
from unlearning.compliance.checkpoints.document import Document, parse
from unlearning.compliance.checkpoints.making import copy_of, knows, make, warnings
from unlearning.compliance.checkpoints.verification import StoreVerification, Trust
from unlearning.compliance.ledger.hash_chain import History, Problem
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.ledger.verification import verify, verify_request
from unlearning.core import settings
from unlearning.core.errors import EXIT_PROBLEMS, UnknownRequestError, UserError
from unlearning.core.files import canonical_json, write_bytes
from unlearning.storage.open import open_store
from unlearning.storage.store import Store

app = typer.Typer(help="Events of erasure requests: show, verify, checkpoint.", no_args_is_help=True)


@app.command("verify")
def verify_ledger(
    request: Annotated[str, typer.Argument(help="Only this request; all if left out.", metavar="ID")] = "",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Copy of a checkpoint that was kept elsewhere, to compare the store with.")
    ] = None,
    key: Annotated[list[Path] | None, typer.Option(help="PEM file of a trusted public key; may be repeated.")] = None,
    keyring: Annotated[Path | None, typer.Option(help="Trusted keys with their periods, see `unlearn keys`.")] = None,
    json: Json = False,
) -> None:
    """Look for anything changed, missing, reordered or inserted; exit code 3 if there is something.

    Without --key and --keyring, checkpoints are checked with the signing key of the environment, if there is one.
    """
    store = open_store(settings.from_environment().store)
    copy = _read_copy(checkpoint) if checkpoint is not None else None
    compared = checkpoints.verify(store, _trust(key or [], keyring), copy=copy, request=request)
    problems = [*_of_requests(store, request, compared), *compared.problems]
    if json:
        show([problem.model_dump(mode="json") | {"damage": problem.damage} for problem in problems], True)
    else:
        for problem in problems:
            print(_line(problem))
        print(_about_checkpoints(compared))
        damage, notes = sum(each.damage for each in problems), sum(each.note for each in problems)
        left = len(problems) - damage - notes
        print(f"problems: {damage}; left behind, to be put right by the next batch: {left}")
    if not all(problem.note for problem in problems):
        raise typer.Exit(EXIT_PROBLEMS)


def _of_requests(store: Store, request: str, compared: StoreVerification) -> Iterable[Problem]:
    if not request:
        return verify(store)
    try:
        return verify_request(store, request)
    except UnknownRequestError:
        # Checkpoints may know a request of which nothing is left.
        if not any(problem.request == request for problem in compared.problems):
            raise
        return ()


def _trust(key_files: list[Path], keyring: Path | None) -> Trust:
    if key_files or keyring is not None:
        return Trust(trusted_keys(key_files, keyring), only=True)
    own: tuple[TrustedKey, ...] = ()
    with suppress(UserError):
        own = (trusted(keys.raw_public(keys.signing_key())),)
    return Trust(Keyring(keys=own), only=False)


def _read_copy(path: Path) -> Document:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise UserError(f"checkpoint {path_text(path)} cannot be read ({error.strerror}): check the path") from None
    except UserError as error:
        raise UserError(f"checkpoint {path_text(path)}: {error}") from None


def _about_checkpoints(compared: StoreVerification) -> str:
    if compared.newest is None:
        return "checkpoints: none, so nothing that was deleted whole is seen: make one with unlearn ledger checkpoint"
    unseen = "; its signature was not checked: give --keyring" if compared.unchecked else ""
    return f"checkpoints: the newest is {compared.newest.name}, of {compared.newest.size} objects{unseen}"


def _line(problem: Problem) -> str:
    name = problem.request or "the store"
    where = name if problem.sequence is None else f"{name} event {problem.sequence}"
    return f"{where}: {problem.kind}: {problem.text}"


@app.command("checkpoint")
def make_checkpoint(
    out: Annotated[
        Path | None, typer.Option(help="Write a copy of it, with all that it holds, to keep elsewhere.")
    ] = None,
    restored: Annotated[
        str,
        typer.Option(help="Begin anew with what is there now, and why: after a backup was restored. Kept for ever."),
    ] = "",
    json: Json = False,
) -> None:
    """Sign what may never change: the last event of every request, every tombstone, every certificate.

    Exit code 3 if something that earlier checkpoints hold is missing.
    """
    store = open_store(settings.from_environment().store)
    if out is not None:
        _refuse_other(store, out)
    made = make(store, keys.signing_key(), now=datetime.now(UTC), restored=restored)
    if out is not None and (copy := copy_of(store)) is not None:
        write_bytes(out, copy.bytes())
    show(made, json, lambda: f"checkpoint {made.number}: {made.objects} objects, {made.added} of them new; {made.key}")
    for warning in warnings(made):
        print(f"warning: {warning}", file=sys.stderr)
    if made.missing or made.unsound:
        raise typer.Exit(EXIT_PROBLEMS)


def _refuse_other(store: Store, out: Path) -> None:
    """A copy of what this store does not know any more is evidence, and never written over."""
    if not out.exists():
        return
    kept = _read_copy(out)
    if not knows(store, kept):
        raise UserError(
            f"{path_text(out)} holds {kept.checkpoint.name}, which this store does not have: keep it, "
            f"and run unlearn ledger verify --checkpoint {path_text(out)}"
        )


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
