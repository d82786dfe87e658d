"""`unlearn requests …`: who asked to be erased, where that stands and when it must be done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unlearning.cli.output import Json, show
from unlearning.compliance.certificates import uncertified
from unlearning.compliance.fields import moment as time_of
from unlearning.compliance.ledger.state import END, STATUSES, State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests import deadlines, intake
from unlearning.compliance.requests import requests as requested
from unlearning.compliance.requests.deadlines import NextBatch, clock
from unlearning.compliance.requests.open_requests import Unusable, standing
from unlearning.compliance.requests.overview import Overview, overview
from unlearning.compliance.requests.requests import Request
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.storage.open import open_store
from unlearning.storage.store import Store

app = typer.Typer(help="Erasure requests: add, correct, follow, withdraw, extend, release.", no_args_is_help=True)

RequestArgument = Annotated[str, typer.Argument(help="Its id.", metavar="ID")]
By = Annotated[str, typer.Option(help="Who acts: a role, kept for ever. No name of a person who asked.")]
ReasonOption = Annotated[str, typer.Option(help="Why, in one line that names nobody: it is kept for ever.")]
MOST_HOURS, MOST_DAYS = 24 * 365, 36500


def _store() -> Store:
    return open_store(settings.from_environment().store)


def _now() -> datetime:
    return datetime.now(UTC)


def _add(asked: Sequence[Request], by: str, now: datetime) -> tuple[intake.Added, ...]:
    return intake.add(_store(), asked, by=by, now=now, zone=settings.from_environment().time_zone)


def _show_added(added: tuple[intake.Added, ...], as_json: bool) -> None:
    if as_json:
        show([each.model_dump(mode="json") for each in added], True)
        return
    for each in added:
        print(f"{each.request}: {'added' if each.created else 'there already'}, due {clock(each.due)}")
        if each.possible_duplicates:
            print(f"{each.request}: possible duplicate of {', '.join(each.possible_duplicates)}")


@app.command()
def add(
    id: Annotated[str, typer.Option(help="Case number: letters, digits and . _ -; kept for ever.")],  # noqa: A002
    received: Annotated[str, typer.Option(help="When it arrived, such as 2024-05-31T09:30:00+02:00.")],
    record: Annotated[list[str] | None, typer.Option(help="Record id; give it once for each record.")] = None,
    subject: Annotated[str | None, typer.Option(help="Subject id, instead of records.")] = None,
    legal_basis: Annotated[str, typer.Option(help="What it rests on.")] = requested.DEFAULT_BASIS,
    model: Annotated[str, typer.Option(help="Registered model; every one concerned if left out.")] = "",
    include_near_duplicates: Annotated[
        bool, typer.Option("--include-near-duplicates", help="Near copies too.")
    ] = False,
    by: By = intake.HERE,
    json: Json = False,
) -> None:
    """Add one request. Adding the same again changes nothing."""
    now = _now()
    document = {
        "id": id,
        "records": tuple(record or ()),
        "subject": subject,
        "received": received,
        "legal_basis": legal_basis,
        "model": model,
        "include_near_duplicates": include_near_duplicates,
    }
    request = requested.make(document, where="request", now=now)
    _show_added(_add([request], by, now), json)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="JSON: one request or a list of them; see docs/requests.md.")],
    by: By = intake.HERE,
    json: Json = False,
) -> None:
    """Add all requests of a file; none of them if one is wrong."""
    now = _now()
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"request file {file} cannot be read ({error.strerror}): check the path") from None
    asked = requested.parse(data, where=f"request file {file}", now=now)
    _show_added(_add(asked, by, now), json)


def _batch(begins: str, hours: float) -> NextBatch | None:
    if not begins:
        return None
    if not 0 <= hours <= MOST_HOURS:
        raise UserError(f"a batch cannot take {hours} hours: give 0 to {MOST_HOURS}")
    return NextBatch(time_of(begins, "the next batch"), timedelta(hours=hours))


def _wanted(status: list[str]) -> set[str]:
    for each in status:
        if each not in STATUSES:
            raise UserError(f"status {each!r} is unknown: choose one of {', '.join(STATUSES)}")
    return set(status)


@app.command("list")
def list_requests(
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those whose deadline has passed.")] = False,
    status: Annotated[list[str] | None, typer.Option(help="Only of this status; may be given again.")] = None,
    due_within: Annotated[float | None, typer.Option(help="Only those due within so many days.")] = None,
    closed: Annotated[bool, typer.Option("--all", help="Closed ones too, which may be very many.")] = False,
    next_batch: Annotated[str, typer.Option(help="When the next batch begins: warns of deadlines it misses.")] = "",
    batch_hours: Annotated[float, typer.Option(help="How long a batch takes.")] = 24.0,
    json: Json = False,
) -> None:
    """Open requests, those due first come first; with an end as `--status`, closed ones too."""
    now, batch, wanted = _now(), _batch(next_batch, batch_hours), _wanted(status or [])
    if due_within is not None and not 0 <= due_within <= MOST_DAYS:
        raise UserError(f"within {due_within} days is not possible: give 0 to {MOST_DAYS}")
    rows: list[Overview] = []
    unusable: list[Unusable] = []
    for found in standing(_store(), closed=closed or bool(wanted & set(END))):
        if isinstance(found, Unusable):
            unusable.append(found)
            continue
        row = overview(found, now, batch)
        asked = (not wanted or row.status in wanted) and (not overdue or row.overdue)
        if asked and (due_within is None or (row.waiting and deadlines.due_within(row.due, now, due_within))):
            rows.append(row)
    rows.sort(key=lambda row: (row.due, row.id))
    if json:
        answer = {"requests": [row.model_dump(mode="json") for row in rows]}
        show(answer | {"unusable": {each.request: each.why for each in unusable}}, True)
        return
    Console().print(_table(rows, now))
    for each in unusable:
        print(f"{each.request} cannot be used: {each.why}")


def _table(rows: list[Overview], now: datetime) -> Table:
    table = Table(title="Erasure requests")
    for name in ("request", "status", "received (UTC)", "due (UTC)", "days left", "models", "note"):
        table.add_column(name, overflow="fold")
    for row in rows:
        left = f"{(row.due - now).total_seconds() / 86400:.1f}" if row.waiting else ""
        models = ", ".join(f"{name or 'none trained'}: {status}" for name, status in row.models.items())
        extended = f"extended, months: {row.extended_months}" if row.extended_months else ""
        note = "; ".join(filter(None, [row.warning, extended, "certified" if row.certified else ""]))
        times = (f"{moment:%Y-%m-%d %H:%M}" for moment in (row.received, row.due))
        table.add_row(*map(escape, (row.id, row.status, *times, left, models, note)))
    return table


@app.command("show")
def show_request(
    request: RequestArgument,
    private: Annotated[bool, typer.Option("--private", help="Subject and record ids too.")] = False,
    json: Json = False,
) -> None:
    """Where one request stands and what was asked."""
    store = _store()
    state = Ledger(store).state(request)
    kept = requested.find(store, request)
    answer: dict[str, Any] = overview(state, _now()).model_dump(mode="json")
    answer["events"] = state.head.sequence
    answer["content"] = "deleted" if kept is None else "kept"
    if state.status == "fulfilled" and not state.certificates:
        answer["not_certified"] = uncertified.reason(store, request) or "not tried yet"
    if kept is not None:
        requested.refuse_changed(kept, state.digest)
        asked = kept.request.model_dump(mode="json", exclude={"id", "received"})
        names = {"subject": asked.pop("subject"), "records": asked.pop("records")}
        answer |= asked | {"possible_duplicates": list(requested.possible_duplicates(store, kept.request))}
        answer["asked_by"] = "subject" if names["subject"] is not None else f"{len(names['records'])} record ids"
        answer |= names if private else {}
    show(answer, json)


@app.command()
def find(
    subject: Annotated[str | None, typer.Option(help="Everything of this person.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="An image file; may be given again.")] = None,
    record: Annotated[list[str] | None, typer.Option(help="A record id; may be given again.")] = None,
    json: Json = False,
) -> None:
    """Record ids by person or image file, and where each of them is: snapshots, versions, tombstones.

    What it prints names the person: it is for the officer, and is written nowhere.
    """
    if not (subject or image or record):
        raise UserError("say what to look for: give --subject, --image or --record")
    # Imported here: of these commands this one alone looks into MLflow, and opens images.
    from unlearning.compliance.inventory import Inventory
    from unlearning.compliance.requests.whereabouts import whereabouts
    from unlearning.data.sources.image_folder import picture_id
    from unlearning.registry.client import Registry

    where = settings.from_environment()
    inventory = Inventory.of(open_store(where.store), Registry(where.tracking_uri))
    wanted = {*(record or ()), *map(picture_id, image or ()), *(inventory.subjects_records(subject) if subject else ())}
    found = whereabouts(inventory, wanted)
    if json:
        show([each.model_dump(mode="json") for each in found], True)
        return
    if not found:
        print("no record")
    for each in found:
        print(each.record)
        print(f"  of:        {', '.join(each.subjects) or 'nobody who is named'}")
        print(f"  snapshots: {', '.join(digest[:12] for digest in each.snapshots) or 'none'}")
        for held in each.versions:
            until = "" if held.purge_after == "none" else f", to be deleted after {held.purge_after}"
            print(f"  trained:   {held.version}, {held.status}{until}")
        print(f"  erased:    {', '.join(each.erased_for) or 'no'}")


@app.command()
def correct(
    request: RequestArgument,
    new: Annotated[str, typer.Option("--as", help="Id of the corrected request.")],
    subject: Annotated[str | None, typer.Option(help="Whom it should have named.")] = None,
    record: Annotated[list[str] | None, typer.Option(help="Or the record id; may be given again.")] = None,
    by: By = intake.HERE,
    json: Json = False,
) -> None:
    """Put right a mistyped subject or record: added anew with the same deadline, and the old one is rejected."""
    zone, records = settings.from_environment().time_zone, tuple(record or ())
    made = intake.correct(_store(), request, new=new, subject=subject, records=records, by=by, now=_now(), zone=zone)
    _show_added((made,), json)


@app.command()
def withdraw(request: RequestArgument, reason: ReasonOption, by: By = intake.HERE, json: Json = False) -> None:
    """The person no longer asks for it: the end of the request."""
    _decided(intake.withdraw(_store(), request, reason=reason, by=by, now=_now()), json)


@app.command()
def reject(request: RequestArgument, reason: ReasonOption, by: By = intake.HERE, json: Json = False) -> None:
    """It will not be honoured, such as when it is not known who asks: the end of the request."""
    _decided(intake.reject(_store(), request, reason=reason, by=by, now=_now()), json)


@app.command()
def extend(
    request: RequestArgument,
    months: Annotated[int, typer.Option(help="1 or 2; 2 are the most in all.")],
    reason: ReasonOption,
    by: By = intake.HERE,
    json: Json = False,
) -> None:
    """Take longer; the person must be told so within the first month."""
    _decided(intake.extend(_store(), request, months=months, reason=reason, by=by, now=_now()), json)


@app.command()
def release(
    request: RequestArgument,
    model: Annotated[str, typer.Option(help="The model that was left to a person, see `unlearn requests show`.")],
    reason: ReasonOption,
    by: By = intake.HERE,
    json: Json = False,
) -> None:
    """Let the next batch try again what was escalated to a person."""
    _decided(intake.release(_store(), request, model=model, reason=reason, by=by, now=_now()), json)


def _decided(state: State, as_json: bool) -> None:
    row = overview(state, _now())
    show(row, as_json, lambda: f"{row.id}: {state.head.kind}; {row.status}, due {clock(row.due)}")
