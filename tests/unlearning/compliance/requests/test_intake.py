from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from unlearning.compliance.ledger.events import NOTHING_BEFORE
from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.ledger.verification import verify
from unlearning.compliance.requests import deadlines, intake, requests
from unlearning.compliance.requests.requests import Request
from unlearning.core.errors import UserError
from unlearning.storage.keys import event_key, open_key
from unlearning.storage.local import LocalStore

Asked = Callable[..., Request]


def everything(store: LocalStore) -> dict[str, bytes]:
    return {key: store.read(key) for key in store.list("")}


def test_adding_again_changes_nothing(store: LocalStore, asked: Asked, now: datetime) -> None:
    first = intake.add(store, [asked("C-1"), asked("C-2")], by="test", now=now)
    assert [(added.request, added.created) for added in first] == [("C-1", True), ("C-2", True)]
    assert first[0].due == datetime(2024, 6, 30, 23, 59, 59, tzinfo=UTC)
    before = everything(store)
    again = intake.add(store, [asked("C-2"), asked("C-1"), asked("C-3")], by="other", now=now + timedelta(days=1))
    assert [(added.request, added.created) for added in again] == [("C-2", False), ("C-1", False), ("C-3", True)]
    assert before.items() <= everything(store).items()
    assert Ledger(store).state("C-1").digest == requests.load(store, "C-1").digest


def test_a_closed_request_that_is_added_again_stays_closed(
    store: LocalStore, asked: Asked, told: Callable[..., State], now: datetime
) -> None:
    told("C-1", "withdrawn")
    (again,) = intake.add(store, [asked("C-1")], by="test", now=now)
    assert not again.created
    assert Ledger(store).open_requests() == ()


def test_nothing_is_written_when_one_id_is_taken(store: LocalStore, asked: Asked, now: datetime) -> None:
    intake.add(store, [asked("C-2")], by="test", now=now)
    before = everything(store)
    with pytest.raises(UserError, match="request 'C-2' is there already with other content"):
        intake.add(store, [asked("C-1"), asked("C-2", subject="somebody else"), asked("C-3")], by="test", now=now)
    assert everything(store) == before


def test_an_id_whose_content_was_deleted_is_taken_too(store: LocalStore, asked: Asked, now: datetime) -> None:
    intake.add(store, [asked("C-1")], by="test", now=now)
    for key in requests.private_keys(store, "C-1"):
        store.delete(key)
    with pytest.raises(UserError, match="recorded before and its content was deleted: give this one another id"):
        intake.add(store, [asked("C-1")], by="test", now=now)


def test_possible_duplicates_are_accepted_and_reported(store: LocalStore, asked: Asked, now: datetime) -> None:
    added = intake.add(store, [asked("C-1", subject="s"), asked("C-2", subject="s")], by="test", now=now)
    assert [each.possible_duplicates for each in added] == [("C-2",), ("C-1",)]
    assert all(each.created for each in added)


def test_wherever_adding_stops_adding_again_goes_on(
    store: LocalStore, asked: Asked, dying: Callable[..., Any], now: datetime
) -> None:
    """Five writes a request; after each of them the process may die."""
    several = [asked("C-1"), asked("C-2")]
    for writes in range(10):
        at = LocalStore(store.root / str(writes))
        with pytest.raises(KeyboardInterrupt):
            intake.add(dying(at, writes), several, by="test", now=now)
        assert not {problem.kind for problem in verify(at)} - {"unfinished", "unsealed"}
        added = intake.add(at, several, by="test", now=now)
        assert [each.possible_duplicates for each in added] == [(), ()]
        assert list(verify(at)) == []
        assert Ledger(at).open_requests() == ("C-1", "C-2")
        assert [Ledger(at).state(each.id).head.sequence for each in several] == [1, 1]
    intake.add(dying(store, 10), several, by="test", now=now)


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (lambda store, now: intake.withdraw(store, "C-1", reason="by letter", by="desk", now=now), "withdrawn"),
        (lambda store, now: intake.reject(store, "C-1", reason="unknown sender", by="desk", now=now), "rejected"),
        (lambda store, now: intake.extend(store, "C-1", months=2, reason="many", by="desk", now=now), "received"),
    ],
)
def test_what_people_decide(
    act: Callable[..., State], status: str, store: LocalStore, asked: Asked, now: datetime
) -> None:
    with pytest.raises(UserError, match="'C-1' is not in the ledger: add it first"):
        act(store, now)
    intake.add(store, [asked()], by="test", now=now)
    state = act(store, now)
    assert state.status == status
    assert Ledger(store).state("C-1") == state
    assert Ledger(store).history("C-1").events[-1].by == "desk"  # type: ignore[union-attr]
    with pytest.raises(UserError):
        act(store, now)


def test_extensions_add_up(store: LocalStore, asked: Asked, now: datetime) -> None:
    intake.add(store, [asked()], by="test", now=now)
    for months in (1, 2):
        state = intake.extend(store, "C-1", months=1, reason="many", by="test", now=now)
        day = deadlines.office_day(asked().received, "UTC", months)
        assert (state.extension, state.due) == (months, deadlines.due(asked().received, months, day))
    for months in (0, 3, -1):
        with pytest.raises(UserError, match=f"cannot be extended by {months} months: take 1 or 2"):
            intake.extend(store, "C-1", months=months, reason="many", by="test", now=now)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("Person Of C-1 wrote so", "the reason names the person, and is kept for ever: leave that out"),
        (f"because of {'a' * 64}", "must not hold a record id"),
        ("two\nlines", "one line"),
        ("", "at least 1 character"),
    ],
)
def test_reasons_name_nobody(reason: str, message: str, store: LocalStore, asked: Asked, now: datetime) -> None:
    intake.add(store, [asked()], by="test", now=now)
    before = everything(store)
    for act in (intake.withdraw, intake.reject):
        with pytest.raises(UserError, match=message) as caught:
            act(store, "C-1", reason=reason, by="test", now=now)
        assert "person of" not in str(caught.value).lower()
    assert everything(store) == before


def test_a_short_subject_id_may_be_part_of_a_word(store: LocalStore, asked: Asked, now: datetime) -> None:
    intake.add(store, [asked(subject="a")], by="test", now=now)
    with pytest.raises(UserError, match="names the person"):
        intake.withdraw(store, "C-1", reason="so says a.", by="test", now=now)
    assert intake.withdraw(store, "C-1", reason="by mail", by="test", now=now).status == "withdrawn"


def test_what_was_left_to_a_person_is_released_by_one(
    store: LocalStore, told: Callable[..., State], now: datetime
) -> None:
    told("C-1", "resolved", "claimed", "escalated")
    with pytest.raises(UserError, match="model 'other' was not left to a person"):
        intake.release(store, "C-1", model="other", reason="more time", by="officer", now=now)
    state = intake.release(store, "C-1", model="m", reason="other settings", by="officer", now=now)
    assert (state.status, state.models["m"].status) == ("resolved", "pending")
    with pytest.raises(UserError, match="model 'm' was not left to a person"):
        intake.release(store, "C-1", model="m", reason="again", by="officer", now=now)


def test_a_deadline_is_counted_in_the_days_of_the_office(store: LocalStore, asked: Asked, now: datetime) -> None:
    (added,) = intake.add(store, [asked()], by="test", now=now, zone="Pacific/Auckland")
    assert added.due == datetime(2024, 7, 1, 11, 59, 59, tzinfo=UTC)  # it arrived on 1 June there, so until 1 July
    state = intake.extend(store, "C-1", months=2, reason="many", by="test", now=now)
    assert state.due == datetime(2024, 9, 1, 11, 59, 59, tzinfo=UTC)
    assert list(verify(store)) == []
    with pytest.raises(UserError, match="time zone 'Nowhere' is unknown"):
        intake.add(store, [asked("C-2")], by="test", now=now, zone="Nowhere")
    assert store.list("requests") == ["requests/C-1.json"]


def test_what_was_added_before_there_was_a_zone_keeps_its_deadline(
    store: LocalStore, asked: Asked, now: datetime
) -> None:
    """Byte for byte as it was written then, and extended now."""
    kept = requests.keep(store, asked())
    details = '{"digest":"' + kept.digest + '","due":"2024-06-30T12:00:00Z","kind":"received",'
    details += '"received":"2024-05-31T12:00:00Z"}'
    old = '{"at":"2024-06-01T08:00:00Z","by":"desk","details":' + details + ',"previous":"' + NOTHING_BEFORE
    old += '","request":"C-1","sequence":1,"token":"0123456789abcdef"}'
    store.create(event_key("C-1", 1), old.encode())
    store.create(open_key("C-1"), b"")
    (again,) = intake.add(store, [asked()], by="test", now=now, zone="Europe/Berlin")
    assert (again.created, again.due) == (False, datetime(2024, 6, 30, 12, tzinfo=UTC))
    state = intake.extend(store, "C-1", months=1, reason="many", by="test", now=now)
    assert state.due == datetime(2024, 7, 31, 12, tzinfo=UTC)
    assert list(verify(store)) == []


@pytest.mark.parametrize("by", ["Person of C-1", "PERSON OF C-1, desk"])
def test_who_acts_is_not_the_person(by: str, store: LocalStore, asked: Asked, now: datetime) -> None:
    with pytest.raises(UserError, match="who acts names the person"):
        intake.add(store, [asked("C-1")], by=by, now=now)
    assert store.list("") == []
    intake.add(store, [asked("C-1")], by="desk", now=now)
    with pytest.raises(UserError, match="who acts names the person"):
        intake.withdraw(store, "C-1", reason="by mail", by=by, now=now)


def test_our_own_word_names_nobody(store: LocalStore, asked: Asked, now: datetime) -> None:
    """A subject called `line`."""
    intake.add(store, [asked("C-1").model_copy(update={"subject": "line"})], by=intake.HERE, now=now)
    assert intake.withdraw(store, "C-1", reason="by mail", by=intake.HERE, now=now).status == "withdrawn"


def test_a_mistyped_request_is_put_right_and_keeps_its_deadline(store: LocalStore, asked: Asked, now: datetime) -> None:
    (first,) = intake.add(store, [asked("C-1", subject="mistyped")], by="test", now=now)
    made = intake.correct(store, "C-1", new="C-2", subject="right", by="test", now=now + timedelta(days=9))
    assert (made.request, made.created, made.due) == ("C-2", True, first.due)
    before, after = requests.load(store, "C-1").request, requests.load(store, "C-2").request
    assert (before.subject, after.subject, after.received) == ("mistyped", "right", before.received)
    assert Ledger(store).state("C-1").status == "rejected"
    assert Ledger(store).open_requests() == ("C-2",)
    assert list(verify(store)) == []


def test_a_correction_that_was_cut_off_is_finished_by_making_it_again(
    store: LocalStore, asked: Asked, dying: Callable[..., Any], now: datetime
) -> None:
    for writes in range(8):
        at = LocalStore(store.root / str(writes))
        intake.add(at, [asked("C-1", subject="mistyped")], by="test", now=now)
        with contextlib.suppress(KeyboardInterrupt):
            intake.correct(dying(at, writes), "C-1", new="C-2", subject="right", by="test", now=now)
        for _ in range(2):
            intake.correct(at, "C-1", new="C-2", subject="right", by="test", now=now)
        assert Ledger(at).state("C-1").status == "rejected"
        assert Ledger(at).state("C-2").status == "received"
        assert not {problem.kind for problem in verify(at)} - {"unsealed", "still_open"}


@pytest.mark.parametrize(
    ("correction", "message"),
    [
        ({"subject": "mistyped"}, "request 'C-1' says that already"),
        ({"subject": "right", "records": ("0" * 64,)}, "give either records or subject"),
        ({}, "give either records or subject"),
        ({"subject": "right", "new": "for-mistyped"}, "the new id names the person"),
        ({"subject": "right", "new": "C-1"}, "is there already with other content"),
    ],
)
def test_a_correction_that_is_none_writes_nothing(
    store: LocalStore, asked: Asked, now: datetime, correction: dict[str, Any], message: str
) -> None:
    intake.add(store, [asked("C-1", subject="mistyped")], by="test", now=now)
    before = everything(store)
    with pytest.raises(UserError, match=message):
        intake.correct(store, "C-1", **{"new": "C-2", "by": "test", "now": now, **correction})
    assert everything(store) == before


def test_what_is_at_its_end_is_not_corrected(
    store: LocalStore, asked: Asked, told: Callable[..., State], now: datetime
) -> None:
    told("C-1", "withdrawn")
    with pytest.raises(UserError, match="request 'C-1' is withdrawn, which is its end: add another one"):
        intake.correct(store, "C-1", new="C-2", subject="right", by="test", now=now)
