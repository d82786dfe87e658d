"""`unlearn` alone: what is here, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from unlearning import __version__
from unlearning.cli.output import path_text
from unlearning.core import settings
from unlearning.core.errors import UserError

Step = tuple[str, str]
"""A command and what it does."""


def text() -> str:
    """What people read who typed `unlearn` and nothing more."""
    where = settings.from_environment()
    here, steps = _here(where)
    width = max(len(command) for command, _ in steps)
    lines = [
        f"unlearn {__version__}: make trained encoders forget, audit that they did, and keep the lineage.",
        "",
        *here,
        "",
        "Next:",
        *(f"  {command:{width}}  {what}" for command, what in steps),
    ]
    return "\n".join(lines)


def _here(where: settings.Settings) -> tuple[list[str], list[Step]]:
    told, steps = _latest(where.home)
    waiting = list(_requests(where.store))
    if waiting:
        told += waiting
        steps.append(("unlearn compliance run", "honour the requests: unlearn, audit, certify"))
    else:
        steps.append(("unlearn requests add --help", "file a person's erasure request"))
    steps.append(("unlearn --help", "every command, by what it is for"))
    return told, steps


def _latest(home: Path) -> tuple[list[str], list[Step]]:
    """The latest run, if there is one."""
    folder = home / "latest"
    if not (folder / "summary.json").exists():
        first = ("unlearn run", "train, forget, audit: real images, some minutes")
        quick = ("unlearn run --dataset digits", "the same on small bundled ones, one minute")
        return [f"No finished run in {path_text(home)} yet."], [first, quick]
    from unlearning.reporting import summary
    from unlearning.reporting.phrases import OUTCOMES

    loaded = summary.load(folder / "summary.json")
    judged = f"its unlearned model {OUTCOMES[loaded.verdict.outcome]}, and version {loaded.registry.champion} serves"
    told = [f"The latest run is {loaded.run_id}: {judged}."]
    steps = [
        ("unlearn report", "its table again"),
        (f"unlearn lineage show {loaded.registry.model_name}", "its versions, and which one serves"),
        ("unlearn run", "another run"),
    ]
    return [*told, f"Report: {path_text(folder / 'report.html')}"], steps


def _requests(store: str) -> Iterator[str]:
    """Open erasure requests, where the store is a folder: nothing is asked of a network here."""
    if "://" in store or not Path(store).is_dir():
        return
    from unlearning.compliance.requests.deadlines import clock
    from unlearning.compliance.requests.open_requests import Unusable, standing
    from unlearning.compliance.requests.overview import overview
    from unlearning.storage.open import open_store

    now = datetime.now(UTC)
    try:
        found = [
            overview(each, now) for each in standing(open_store(store), closed=False) if not isinstance(each, Unusable)
        ]
    except UserError as error:
        yield f"Erasure requests cannot be read: {error}"
        return
    waiting = [each for each in found if each.waiting]
    if waiting:
        first = min(waiting, key=lambda each: each.due)
        late = sum(each.overdue for each in waiting)
        more = f", {late} overdue" if late else ""
        yield f"Erasure requests that wait: {len(waiting)}{more}; the first is due {clock(first.due)} ({first.id})."
