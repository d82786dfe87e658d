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

from unlearning.compliance.fields import is_digest
from unlearning.core.private_fields import PRIVATE_KEYS, SHA256

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

LONGEST_LIST = 32
"""A list of more values among a method's settings, counted through all levels, could be an image."""
LONGEST_TEXT = 200
"""The same of a text."""
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


def _values(value: Any) -> int:
    """How many numbers and texts it holds, keys not counted."""
    items = value.values() if isinstance(value, Mapping) else value
    return sum(map(_values, items)) if isinstance(value, Mapping | list | tuple) else 1


def _at(place: Place) -> str:
    # A key may itself be what must not be told.
    return ".".join(SHA256.sub("(SHA-256)", part)[:60] for part in place) or "top level"


def problems(document: Mapping[str, Any]) -> list[str]:
    """Digests where none belongs, what is none where one belongs, and what could hold a record."""
    found = []
    for place, value, is_key in _walk(document):
        wrong = _not_a_digest(value) if place in DIGESTS and not is_key else _hidden(value)
        found += [f"{_at(place)} {each}" for each in wrong]
        if "settings" in place:
            found += [f"{_at(place)} {each}" for each in _too_much(place[-1], value)]
    return list(dict.fromkeys(found))


def _not_a_digest(value: Any) -> Iterator[str]:
    if value is not None and not (isinstance(value, str) and is_digest(value)):
        yield "is not a SHA-256 in lower-case hexadecimal"


def _hidden(value: Any) -> Iterator[str]:
    if isinstance(value, str) and SHA256.search(value):
        yield "holds a SHA-256 where none belongs"
    if isinstance(value, str) and not value.isprintable():
        yield "holds what cannot be printed"
    if isinstance(value, float) and not math.isfinite(value):
        yield "is not a finite number"


def _too_much(name: str, value: Any) -> Iterator[str]:
    if name.lower() in PRIVATE_KEYS:
        yield "names records or persons"
    if isinstance(value, list | tuple) and _values(value) > LONGEST_LIST:
        yield f"is a list of more than {LONGEST_LIST} values"
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        yield f"is longer than {LONGEST_TEXT} characters"


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


def _is_common(text: str) -> bool:
    """Whether it may well be one of our own words: short, or nothing but letters."""
    return len(text) < SHORT or (text.isalpha() and not SHA256.fullmatch(text))


def disclosed(
    document: Mapping[str, Any], forbidden: Collection[str], written: Collection[str] | None = None
) -> list[str]:
    """The places where a forbidden text stands, whatever its case.

    A person's id may be a word that we use ourselves, such as `audit`, or a number such as `2`. Such a text gives the
    person away only where somebody else's words stand, and a short number nowhere: it cannot be told from a version, a
    count or the number of a case.

    Args:
        document: times in it as `datetime`, so that they are not taken for texts.
        forbidden: record ids and subject ids of the request, none of them empty. A record id is found by its
            first digits already; a text of fewer than six characters only as a word by itself.
        written: the texts that people have written into the document; names and values of settings count as such in any
            case. None: every text may be one.
    """
    texts = [(place, value) for place, value, _ in _walk(document) if isinstance(value, str)]
    named = None if written is None else set(written)
    theirs = [named is None or value in named or "settings" in place for place, value in texts]
    spelled = [(_at(place), _plain(value)) for place, value in texts]
    found = []
    for each in forbidden:
        pattern, plain = _pattern(each), _plain(each.strip())
        if written is not None and plain.isdigit() and len(plain) < SHORT:
            continue
        everywhere = not _is_common(plain)
        found += [
            place
            for (place, text), their in zip(spelled, theirs, strict=True)
            if (everywhere or their) and pattern.search(text)
        ]
    order = list(dict.fromkeys(place for place, _ in spelled))
    return sorted(set(found), key=order.index)
