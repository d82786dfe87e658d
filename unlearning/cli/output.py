"""How the command line answers: figures for people, JSON for scripts, one line for errors."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer._click.exceptions import NoArgsIsHelpError, UsageError  # typer shows no other way to them

from unlearning.core.errors import EXIT_BAD_INPUT, UserError

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def plain(value: Any) -> Any:
    """A result as JSON values."""
    from pydantic import BaseModel  # not needed to print help

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value


def show(result: Any, as_json: bool, text: Callable[[], str] | None = None) -> None:
    """Print a result: JSON when asked, else `text`, else its fields line by line."""
    values = plain(result)
    if as_json:
        print(json.dumps(values, indent=2, default=str))
    elif text is not None:
        print(text())
    else:
        for key, value in values.items():
            print(f"{key}: {value}")


@contextmanager
def explained() -> Iterator[None]:
    """Turn a user's error, or a command line that is none, into one line on standard error and exit code 2."""
    try:
        yield
    except UserError as error:
        _refuse(str(error))
    except NoArgsIsHelpError:  # made, it has printed the help
        raise SystemExit(EXIT_BAD_INPUT) from None
    except UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "unlearn"
        _refuse(f"{error.format_message().rstrip('.')}: see {where} --help")


def _refuse(problem: str) -> NoReturn:
    print(f"error: {' '.join(problem.split())}", file=sys.stderr)
    raise SystemExit(EXIT_BAD_INPUT) from None


def path_text(path: Path) -> str:
    """A path as people type it: relative where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
