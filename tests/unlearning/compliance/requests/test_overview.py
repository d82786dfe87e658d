from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from unlearning.compliance.ledger.state import State
from unlearning.compliance.requests.deadlines import NextBatch
from unlearning.compliance.requests.overview import overview

Told = Callable[..., State]


def test_what_is_to_be_known_at_a_glance(told: Told, now: datetime) -> None:
    row = overview(told("C-1", "extended", "resolved:m,n", "claimed"), now)
    assert row.model_dump(mode="json") == {
        "id": "C-1",
        "status": "claimed",
        "received": "2024-05-31T12:00:00Z",
        "due": "2024-07-31T23:59:59Z",
        "waiting": True,
        "overdue": False,
        "extended_months": 1,
        "models": {"m": "claimed", "n": "pending"},
        "certified": False,
        "warning": "",
    }


def test_warnings_are_for_those_who_wait(told: Told, now: datetime) -> None:
    late, batch = now + timedelta(days=90), NextBatch(now + timedelta(days=21), timedelta(hours=1))
    waiting, ended = told("C-1", "resolved"), told("C-2", "withdrawn")
    done = told("C-3", "resolved", "claimed", "unlearned", "audited", "fulfilled")
    assert overview(waiting, now).warning == ""
    assert overview(waiting, now, batch).warning.startswith("the next batch cannot meet the deadline")
    assert (overview(waiting, late).overdue, overview(waiting, late).warning) == (True, "overdue")
    for state in (ended, done):
        row = overview(state, late, batch)
        assert (row.waiting, row.overdue, row.warning) == (False, False, "")
    assert not overview(done, now).certified
    assert overview(told("C-4", "resolved", "claimed", "unlearned", "audited", "fulfilled", "certified"), now).certified


def test_a_clock_that_was_set_back_makes_no_late_request_timely(told: Told, now: datetime) -> None:
    state = told("C-1")
    later = replace(state, at=state.due + timedelta(days=1))
    assert not overview(state, now).overdue
    assert overview(later, now).overdue
