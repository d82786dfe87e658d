"""Options of a command, made from the parameters of a pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from pipelines.parameters import parameters_of
from unlearning.core.config import Config

Completion = Callable[..., Any]


def options(
    kind: type[Config],
    *,
    without: Collection[str] = (),
    named: Mapping[str, str] | None = None,
    completions: Mapping[str, Completion] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for every field; it is handed what was given as `parameters`, unchecked.

    Args:
        kind: whose fields they are.
        without: fields that the command sets itself.
        named: fields that have another name on the command line.
        completions: what completes the value of a field.
    """
    names, complete = named or {}, completions or {}
    found = [each for each in parameters_of({"": kind}) if each.name not in without]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def wrapped(**given: Any) -> None:
            command(parameters={each.name: given.pop(each.name) for each in found}, **given)

        own = [each for each in inspect.signature(command).parameters.values() if each.name != "parameters"]
        hints = get_type_hints(command, include_extras=True)
        made = [
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=each.default,
                annotation=Annotated[
                    each.type,
                    typer.Option(
                        f"--{names.get(each.name, each.name).replace('_', '-')}",
                        help=each.text,
                        autocompletion=complete.get(each.name),
                    ),
                ],
            )
            for each in found
        ]
        kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[each.name]) for each in own]
        wrapped.__signature__ = inspect.Signature([*kept[:1], *made, *kept[1:]])  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in (*kept, *made)}
        del wrapped.__wrapped__
        return wrapped

    return decorate
