"""The reference of the command line, made from the program itself: what `--help` says of every command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from unlearning.cli.main import application

PLACE = "<!-- the command line -->"
"""Where the page gets it."""


def commands(
    command: Any = None, name: str = "unlearn", parent: typer.Context | None = None
) -> Iterator[typer.Context]:
    """Every command and group of commands, the whole first; hidden ones are left out."""
    command = typer.main.get_command(application()) if command is None else command
    context = typer.Context(command, info_name=name, parent=parent)
    yield context
    for each, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from commands(below, each, context)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")


def _table(context: typer.Context) -> Iterator[str]:
    records = [each.get_help_record(context) for each in context.command.params]
    rows = [record for record in records if record is not None]
    if rows:
        yield "| takes | |\n|---|---|"
        yield from (f"| `{_cell(name).replace('&lt;', '<')}` | {_cell(text)} |" for name, text in rows)


def _section(context: typer.Context) -> Iterator[str]:
    path = context.command_path
    level = min(len(path.split()), 2) + 1
    yield f"{'#' * level} {path}\n"
    for paragraph in (context.command.help or "").split("\n\n"):
        yield " ".join(paragraph.split()).replace("<", "&lt;") + "\n"
    below = [each for each in getattr(context.command, "commands", {}).values() if not each.hidden]
    if not below:
        usage = " ".join(context.command.get_usage(context).split())
        yield f"```text\n{usage.removeprefix('Usage: ')}\n```\n"
    yield from _table(context)
    yield ""


def reference() -> str:
    """All of it in Markdown."""
    return "\n".join(line for context in commands() for line in _section(context))
