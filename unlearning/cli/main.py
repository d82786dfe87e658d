"""The commands people start with, each imported when it is called.

`unlearn --help` shows them all: what a command that is not called says of itself is read from its source.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from unlearning import __version__
from unlearning.core.errors import EXIT_FAILED, EXIT_OK

OTHERS = 0o007
"""Rights that others than the owner and the group do not get."""

TRY, ERASE, CLUSTER, LINEAGE, MORE = (
    "Try and look",
    "Honour erasure requests",
    "On a cluster",
    "What came from what",
    "By hand",
)


@cache
def _parsed(module: str) -> ast.Module:
    return ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))


class Command(NamedTuple):
    """A command, or a group of commands, and where it is."""

    name: str
    module: str
    attribute: str
    panel: str

    def load(self) -> Any:
        """Import it."""
        return getattr(importlib.import_module(f"{__package__}.{self.module}"), self.attribute)

    def help(self) -> str:
        """What it says of itself, without importing it."""
        for node in _parsed(self.module).body:
            match node:
                case ast.FunctionDef(name=self.attribute):
                    return ast.get_docstring(node) or ""
                case ast.Assign(targets=[ast.Name(id=self.attribute)], value=ast.Call(keywords=keywords)):
                    return next(str(ast.literal_eval(each.value)) for each in keywords if each.arg == "help")
        raise LookupError(f"{self.module} has no {self.attribute}")


COMMANDS = (
    Command("run", "run", "run", TRY),
    Command("report", "views", "report", TRY),
    Command("figures", "views", "figures", TRY),
    Command("compare", "views", "compare", TRY),
    Command("recipes", "catalogue", "list_recipes", TRY),
    Command("methods", "catalogue", "list_methods", TRY),
    Command("requests", "requests", "app", ERASE),
    Command("compliance", "compliance", "app", ERASE),
    Command("qualify", "qualify", "qualify", ERASE),
    Command("verify", "verify", "verify", ERASE),
    Command("purge", "purge", "purge", ERASE),
    Command("ledger", "ledger", "app", ERASE),
    Command("keys", "keys", "app", ERASE),
    Command("doctor", "doctor", "doctor", CLUSTER),
    Command("submit", "cluster", "submit", CLUSTER),
    Command("schedule", "cluster", "schedule", CLUSTER),
    Command("status", "cluster", "status", CLUSTER),
    Command("lineage", "lineage", "app", LINEAGE),
    Command("step", "steps", "app", MORE),
)


class InOrder(TyperGroup):
    """Lists commands in the order of `COMMANDS`; Typer lists groups after single commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [each.name for each in COMMANDS]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"unlearn {__version__}")
        raise typer.Exit


def unlearn(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Make trained encoders forget, audit that they did, and keep the lineage."""
    if context.invoked_subcommand is None:
        from unlearning.cli import next_steps

        print(next_steps.text())


def application(called: str | None = None) -> typer.Typer:
    """The command line.

    Args:
        called: the one command that is imported; the others can only be listed. None imports all.
    """
    app = typer.Typer(
        cls=InOrder,
        help="Make trained encoders forget, audit that they did, and keep the lineage.\n\n"
        "Start with `unlearn run`, then open the report it names.\n\n"
        "Exit codes: 0 done, 1 programming error, 2 bad input or missing service, "
        "3 finished but nothing was promoted, `ledger verify` or `doctor` found problems, or a certificate is not "
        "verified. A model that is accepted without having passed is promoted, and said to be.",
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(unlearn)
    for command in COMMANDS:
        if called not in (None, command.name):
            app.command(command.name, help=command.help(), rich_help_panel=command.panel)(_unreached)
            continue
        found = command.load()
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=command.name, rich_help_panel=command.panel)
        else:
            app.command(command.name, rich_help_panel=command.panel)(found)
    return app


def _unreached() -> None:
    raise AssertionError("only the command that is called is imported, and it was another")


def _called(arguments: Sequence[str]) -> str | None:
    """The command that is called, the empty string for none; None where any may be, as the shell asks."""
    if "_UNLEARN_COMPLETE" in os.environ:
        return None
    return next((each for each in arguments if not each.startswith("-")), "")


def main() -> None:
    """Entry point of the `unlearn` command."""
    from unlearning.cli.output import explained

    # What MLflow, KFP and libraries write into the home may be about people too.
    os.umask(os.umask(0) | OTHERS)
    app: Callable[..., Any] = application(_called(sys.argv[1:]))
    with explained():
        try:
            sys.exit(app(standalone_mode=False) or EXIT_OK)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(EXIT_FAILED)
