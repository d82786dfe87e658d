"""The base of every validated configuration object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from unlearning.core.errors import UserError
from unlearning.core.files import read_json


class Config(BaseModel):
    """Immutable settings; an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Checked = TypeVar("Checked", bound=Config)


def checked(kind: type[Checked], values: Mapping[str, Any]) -> Checked:
    """Parameters that people gave, or that a task was handed, where numbers arrive as text.

    Raises:
        UserError: one has no meaning; names it, what was given, and what would have one.
    """
    given = {name: _parsed(kind, name, value) for name, value in values.items()}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name, value = ".".join(map(str, first["loc"])), first["input"]
        if first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields)
            raise UserError(f"parameter {name} is unknown: choose of {known}") from None
        if first["type"] == "literal_error":
            known = str(first["ctx"]["expected"]).replace("'", "")
            raise UserError(f"{name} {value!r} is unknown: choose {known}") from None
        raise UserError(f"{name} {value} is not possible: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def read_config(kind: type[Checked], path: Path, what: str, advice: str = "") -> Checked:
    """A document that is written as JSON.

    Args:
        what: names it for people.
        advice: what to do where it is not valid.

    Raises:
        UserError: missing, or not valid; names the first wrong key.
    """
    try:
        return kind.model_validate(read_json(path, what))
    except ValidationError as error:
        more = f": {advice}" if advice else ""
        raise UserError(f"{what} {path}: {first_problem(error)}{more}") from None


def first_problem(error: ValidationError) -> str:
    """The first wrong key of a document and what is wrong with it, as "key: problem"."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'top level'}: {first['msg']}"


def _parsed(kind: type[Config], name: str, value: Any) -> Any:
    """What a structure inside of a structure arrives as is its JSON."""
    field = kind.model_fields.get(name)
    if field is None or not isinstance(value, str) or "dict" not in str(field.annotation):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
