"""What every page for people shares: how templates are filled in, and how figures are written.

A page needs no network and no scripts: it is opened from an artifact viewer, mailed, printed and archived.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from unlearning.audit.escalation import described
from unlearning.audit.results import Interval
from unlearning.core.private_fields import PRIVATE_KEYS, SHA256

Cell = tuple[str, str]
"""An estimate and its interval, as text."""


@cache
def environment() -> jinja2.Environment:
    """Templates of this package; a name that is not given is an error, and every text is escaped."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("unlearning.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"cell": cell, "percent": percent, "signed": signed, "points": points, "flat": flat}
    found.filters |= {"breakable": breakable, "described": described}
    return found


def cell(interval: Interval) -> Cell:
    """An estimate and its interval with three digits; the coverage where it is not 95 %."""
    return f"{interval.estimate:.3f}", f"[{interval.low:.3f}, {interval.high:.3f}]{_level(interval)}"


def percent(interval: Interval | None) -> Cell:
    """A share, in per cent."""
    if interval is None:
        return "none", ""
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.estimate:.1f} %", f"[{low:.1f}, {high:.1f}]{_level(interval)}"


def signed(interval: Interval, scale: int = 1, digits: int = 3) -> Cell:
    """A difference, with its sign and coverage."""
    bounds = (interval.estimate, interval.low, interval.high)
    estimate, low, high = (f"{scale * value:+z.{digits}f}".replace("-", "−") for value in bounds)
    return estimate, f"[{low}, {high}] ({100 * interval.level:g} %)"


def points(interval: Interval) -> Cell:
    """A difference of shares, in percentage points."""
    return signed(interval, 100, 1)


def _level(interval: Interval) -> str:
    return "" if interval.level == 0.95 else f" ({100 * interval.level:g} %)"


def flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and values, without anything that names a record or a person."""
    if key.rpartition(".")[2] in PRIVATE_KEYS:
        yield key, "(not shown)"
    elif isinstance(value, dict) and value:
        for inner, item in value.items():
            yield from flat(item, f"{key}.{inner}" if key else str(inner))
    else:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        yield key, SHA256.sub("(SHA-256, not shown)", text)


def breakable(name: str) -> Markup:
    """Lets a narrow page break a long name after its underscores."""
    return escape(name).replace("_", Markup("_<wbr>"))
