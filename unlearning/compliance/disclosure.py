"""What a certificate must not disclose: record ids, subject ids, and whatever else its writer forbids.

Digests stand at places that are named here, and nowhere else, so that a record id, which looks like one, has no
place to be. A message says where something was found, never what.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from unlearning.privacy import PRIVATE_KEYS, SHA256

Place = tuple[str, ...]

DIGESTS: frozenset[Place] = frozenset(
    {
        ("subject", "*", "digest", "sha256"),
        ("predicate", "models", "*", "before", "weights"),
        ("predicate", "models", "*", "after", "weights"),
        ("predicate", "models", "*", "data_before", "snapshot"),
        ("predicate", "models", "*", "data_before", "split"),
        ("predicate", "models", "*", "data_after", "snapshot"),
        ("predicate", "models", "*", "data_after", "split"),
        ("predicate", "models", "*", "forgotten", "forget_set"),
        ("predicate", "ledger", "sha256"),
    }
)
"""Where a SHA-256 may stand; * is any position of a list."""

LONGEST_LIST = 64
"""A longer list of a method's settings could be an image."""
SHORT = 6
"""A forbidden text of fewer characters counts as found only where it is a word by itself."""
ABBREVIATED = 12
"""So many digits of a record id are enough to give it away: that is how messages shorten digests."""


def _walk(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any, bool]]:
    """Every value with its place, containers before what they hold; keys are texts too, marked as keys."""
    yield place, value, False
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield (*place, str(key)), str(key), True
            yield from _walk(item, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _walk(item, (*place, "*"))


def _at(place: Place) -> str:
    # A key may itself be what must not be told.
    return ".".join(SHA256.sub("(SHA-256)", part)[:60] for part in place) or "top level"


def problems(document: Mapping[str, Any]) -> list[str]:
    """Digests where none belongs, what is none where one belongs, and what could hold a record."""
    found = []
    for place, value, is_key in _walk(document):
        if place in DIGESTS and not is_key:
            if value is not None and not (isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value)):
                found.append(f"{_at(place)} is not a SHA-256 in lower-case hexadecimal")
        elif isinstance(value, str) and SHA256.search(value):
            found.append(f"{_at(place)} holds a SHA-256 where none belongs")
        elif isinstance(value, str) and not value.isprintable():
            found.append(f"{_at(place)} holds what cannot be printed")
        elif isinstance(value, float) and not math.isfinite(value):
            found.append(f"{_at(place)} is not a finite number")
        if "settings" in place:
            if place[-1].lower() in PRIVATE_KEYS:
                found.append(f"{_at(place)} names records or persons")
            if isinstance(value, list | tuple) and len(value) > LONGEST_LIST:
                found.append(f"{_at(place)} is a list of more than {LONGEST_LIST}")
    return list(dict.fromkeys(found))


def _plain(text: str) -> str:
    """One spelling per text, whatever its case, width or composition."""
    return unicodedata.normalize("NFKC", text).casefold()


def _pattern(forbidden: str) -> re.Pattern[str]:
    text = _plain(forbidden.strip())
    assert text, "an empty text cannot be forbidden"
    if SHA256.fullmatch(text):
        return re.compile(text[:ABBREVIATED])
    if len(text) < SHORT:
        return re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
    return re.compile(re.escape(text))


def disclosed(document: Mapping[str, Any], forbidden: Collection[str]) -> list[str]:
    """The places where a forbidden text stands, whatever its case.

    Args:
        document: times in it as `datetime`, so that they are not taken for texts.
        forbidden: record ids and subject ids of the request, none of them empty. A record id is found by its
            first digits already; a text of fewer than six characters only as a word by itself.
    """
    texts = [(_at(place), _plain(value)) for place, value, _ in _walk(document) if isinstance(value, str)]
    everything = "\n".join(text for _, text in texts)
    patterns = [pattern for pattern in map(_pattern, forbidden) if pattern.search(everything)]
    return list(dict.fromkeys(place for place, text in texts if any(each.search(text) for each in patterns)))
