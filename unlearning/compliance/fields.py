"""The kinds of text, digests and times that requests and events are made of."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, StringConstraints, TypeAdapter, ValidationError

from unlearning.core.errors import UserError

CLOCK_DIFFERENCE = timedelta(minutes=5)
"""By how much the clocks of two machines may differ."""

_KEY = re.compile(r"[a-z_]{1,40}")
_RECORD_ID = re.compile(r"[0-9a-fA-F]{64}")


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be one line of printable characters without spaces around it")
    return text


def _impersonal(text: str) -> str:
    if _RECORD_ID.search(text):
        raise ValueError("must not hold a record id, since it is kept for ever: leave it out")
    return text


def _utc(value: Any) -> datetime:
    """A time in UTC from text or a datetime; numbers and times without a zone are refused."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("must be a time such as 2024-05-31T09:30:00+02:00") from None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("must be a time with its zone, such as 2024-05-31T09:30:00+02:00 or …Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time between the years 1 and 9999") from None


_REQUEST_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

RequestId = Annotated[str, StringConstraints(pattern=f"^{_REQUEST_ID}$")]
"""The company's own case number; it is part of keys and kept for ever."""

_DIGEST = r"[0-9a-f]{64}"

Digest = Annotated[str, StringConstraints(pattern=f"^{_DIGEST}$")]
"""SHA-256 in hexadecimal."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
"""What a model, a batch, a method or whoever acts is called."""

_NAME: TypeAdapter[str] = TypeAdapter(Name)

OptionalName = Annotated[str, StringConstraints(max_length=200), AfterValidator(_printable)]
"""The same, or empty."""

Reason = Annotated[
    str, StringConstraints(min_length=1, max_length=300), AfterValidator(_printable), AfterValidator(_impersonal)
]
"""Why something was decided, in words that name nobody."""

Moment = Annotated[datetime, BeforeValidator(_utc)]
"""A time in UTC."""


def normal_form(subject: str) -> str:
    """A subject id as it is compared: Unicode's composed form (NFC), without spaces around it."""
    return unicodedata.normalize("NFC", subject).strip()


def loose_form(subject: str) -> str:
    """The same without regard to case and to spaces inside: who differs in them alone may be mistyped."""
    return "".join(normal_form(subject).casefold().split())


def is_request_id(text: str) -> bool:
    """Whether a request can have this id."""
    return re.fullmatch(_REQUEST_ID, text) is not None


def is_digest(text: str) -> bool:
    """Whether it is a SHA-256 as they are spelled here, which a record id is too."""
    return re.fullmatch(_DIGEST, text) is not None


def name(text: str, what: str) -> str:
    """A name that somebody typed.

    Raises:
        UserError: it is none; `what` names it.
    """
    try:
        return _NAME.validate_python(text)
    except ValidationError as error:
        raise UserError(f"{what}: {described(error)}") from None


def moment(text: str, what: str) -> datetime:
    """A time in UTC from text that somebody typed.

    Raises:
        UserError: it is none; `what` names it.
    """
    try:
        return _utc(text)
    except ValueError as error:
        raise UserError(f"{what} {error}") from None


def described(error: ValidationError) -> str:
    """Where the first error is and what it is, without the value: that may name a person."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    # An unknown key is whatever somebody wrote.
    place = ".".join(str(part) if isinstance(part, int) or _KEY.fullmatch(part) else "…" for part in first["loc"])
    text = first["msg"].removeprefix("Value error, ")
    return f"{place}: {text}" if place else text
