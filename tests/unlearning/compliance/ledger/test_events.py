from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from unlearning.compliance.ledger import events
from unlearning.compliance.ledger.events import NOTHING_BEFORE, Event, read_event
from unlearning.core.files import canonical_json

WORDS = ("received", "extended", "withdrawn", "rejected", "resolved", "nothing_found", "claimed", "released",
         "unlearned", "audited", "fulfilled", "escalated", "certified", "purged")  # fmt: skip


@pytest.fixture
def event(details: Callable[..., Any], now: datetime) -> Callable[[str], Event]:
    def make(word: str) -> Event:
        given: dict[str, Any] = {"request": "C-1", "sequence": 7, "at": now, "by": "test", "previous": NOTHING_BEFORE}
        return Event(**given, token="0" * 16, details=details(word))

    return make


@pytest.mark.parametrize("word", WORDS)
def test_an_event_is_read_as_it_was_written(event: Callable[[str], Event], word: str) -> None:
    made = event(word)
    data = made.bytes()
    assert read_event(data) == made
    document = json.loads(data)
    assert data == canonical_json(document).encode()
    assert set(document) == {"request", "sequence", "at", "by", "previous", "token", "details"}
    assert document["details"]["kind"] == word
    assert document["at"] == "2024-06-10T12:00:00Z"


def test_every_kind_is_told_apart() -> None:
    assert {kind.model_fields["kind"].default for kind in events.Details.__args__} == set(WORDS)


def test_no_event_has_a_place_for_who_or_what_it_is_about() -> None:
    """Kept for ever: counts, digests, names of models and batches, times, and a reason."""
    fields = {
        (name, str(field.annotation)) for kind in events.Details.__args__ for name, field in kind.model_fields.items()
    }
    texts = {name for name, annotation in fields if "str" in annotation and "Literal" not in annotation}
    assert texts == {
        "digest",
        "reason",
        "model",
        "models",
        "snapshots",
        "batch",
        "method",
        "outcome",
        "version",
        "certificate",
    }
    assert ("records", "<class 'int'>") in fields


@pytest.mark.parametrize(
    "change",
    [b"", b" ", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000],
)
def test_what_is_no_event(change: bytes) -> None:
    assert read_event(change) is None


def test_another_spelling_is_no_event(event: Callable[[str], Event]) -> None:
    data = event("resolved").bytes()
    assert read_event(data + b"\n") is None
    assert read_event(json.dumps(json.loads(data)).encode()) is None
    assert read_event(data.replace(b'"at":"2024-06-10T12:00:00Z"', b'"at":"2024-06-10T14:00:00+02:00"')) is None


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (events.Resolved, {"records": 0, "snapshots": ["a" * 64], "models": []}),
        (events.Resolved, {"records": 0, "snapshots": [], "models": ["m"]}),
        (events.Resolved, {"records": 1, "snapshots": [], "models": ["m", "m"]}),
        (events.Resolved, {"records": -1, "snapshots": [], "models": []}),
        (events.Fulfilled, {"model": "", "batch": "b", "version": "1", "digest": "a" * 64, "how": "unlearned"}),
        (events.Fulfilled, {"model": "m", "batch": "b", "how": "retrained"}),
        (events.Extended, {"months": 3, "reason": "x", "due": "2024-01-01T00:00Z"}),
        (events.Claimed, {"model": "m", "batch": "b", "until": "2024-01-01T00:00"}),
        (events.Withdrawn, {"reason": "a" * 64}),
    ],
)
def test_events_that_make_no_sense(kind: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(values)
