"""`unlearn purge`: look at what is due to be deleted, and delete it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from unlearning.cli.output import Json, show
from unlearning.compliance.batches.parameters import GRACE_DAYS
from unlearning.compliance.retention.policy import Item, PurgePlan, Waiting, listed

SHOWN = 2
"""Keys of one item that are named."""

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def size_text(size: int) -> str:
    """Bytes as people read them."""
    value, unit = float(size), 0
    while value >= 1024 and unit + 1 < len(UNITS):
        value, unit = value / 1024, unit + 1
    return f"{size} bytes" if not unit else f"{value:.1f} {UNITS[unit]}"


def _item(item: Item) -> str:
    owner = f" of {item.model} version {item.version}" if item.model else ""
    more = f" and {len(item.keys) - SHOWN} more" if len(item.keys) > SHOWN else ""
    where = f"{item.store}: {', '.join(item.keys[:SHOWN])}{more}"
    return f"{item.kind}{owner} ({item.objects} objects, {size_text(item.bytes)}): {item.why}\n  {where}"


def _waiting(waiting: Waiting) -> str:
    due = f"{waiting.purge_after:%Y-%m-%d %H:%M} UTC"
    return f"waits until {due}: {waiting.model} version {waiting.version}, for {listed(waiting.requests)}"


def _text(plan: PurgePlan) -> Iterator[str]:
    yield from map(_item, plan.items)
    yield f"would delete {plan.objects} objects, {size_text(plan.bytes)}" if plan.items else "nothing is due"
    if plan.versions:
        yield f"would mark as purged: {', '.join(plan.versions)}"
    yield from map(_waiting, plan.waiting)


def purge(
    model: Annotated[str, typer.Option(help="Only versions of this registered model; all if left out.")] = "",
    now: Annotated[bool, typer.Option("--now", help="Do not wait for the end of the grace period.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go, why, and what waits.")] = False,
    grace_days: Annotated[
        int, typer.Option(help="After which checkpoints and data that no version stands for are due.")
    ] = GRACE_DAYS,
    json: Json = False,
) -> None:
    """Delete the weights and data of withdrawn versions whose grace period is over. There is no way back.

    Runs, versions and tags stay in MLflow: the lineage says what was there and why it is gone.
    """

    from unlearning.compliance.retention import purge as purging

    when = datetime.now(UTC)
    if dry_run:
        planned = purging.plan(now=when, model_name=model, at_once=now, grace_days=grace_days)
        show(planned, json, lambda: "\n".join(_text(planned)))
        return

    def watch(item: Item, objects: int) -> None:
        if not json:
            owner = f" of {item.model} version {item.version}" if item.model else ""
            print(f"deleted {item.kind}{owner}: {objects} objects")

    result = purging.purge(now=when, model_name=model, at_once=now, grace_days=grace_days, watch=watch)
    lines = [f"deleted {result.objects} objects, {size_text(result.bytes)}"]
    lines += [f"purged {each.model} version {each.version}, for {listed(each.requests)}" for each in result.versions]
    lines += map(_waiting, result.waiting)
    show(result, json, lambda: "\n".join(lines))
