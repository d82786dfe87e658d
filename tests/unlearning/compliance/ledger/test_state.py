"""All transitions of a request with one model, by a table; models side by side, extensions and resolutions by cases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearning.compliance.ledger import events
from unlearning.compliance.ledger.events import NOTHING_BEFORE, Event, digest_of
from unlearning.compliance.ledger.state import STATUSES, State, after
from unlearning.compliance.requests import deadlines
from unlearning.core.errors import TransitionError

Apply = Callable[..., State]

TO = {
    "new": ["received"],
    "received": ["extended", "withdrawn", "rejected", "resolved"],
    "pending": ["extended", "withdrawn", "rejected", "resolved", "claimed", "fulfilled:never_trained"],
    "claimed": ["extended", "resolved", "claimed", "released", "unlearned", "escalated", "fulfilled:never_trained"],
    "unlearned": [
        "extended", "resolved", "claimed", "released", "unlearned", "escalated", "fulfilled:never_trained",
        "audited:promote", "audited:accept", "audited:stronger", "audited:person",
    ],
    "to promote": [
        "extended", "resolved", "claimed", "released", "unlearned", "escalated", "fulfilled:never_trained",
        "fulfilled:unlearned", "fulfilled:retrained",
    ],
    "to accept": [
        "extended", "resolved", "claimed", "released", "unlearned", "escalated", "fulfilled:never_trained",
        "fulfilled:accepted",
    ],
    "to escalate": [
        "extended", "resolved", "claimed", "released", "unlearned", "escalated", "fulfilled:never_trained",
    ],
    "escalated": ["extended", "resolved", "withdrawn", "rejected", "released"],
    "fulfilled": ["certified", "certified:f", "purged", "resolved", "released"],
    "certified": ["certified:f", "purged"],
    "withdrawn": [],
    "rejected": [],
    "nothing": ["extended", "resolved", "withdrawn", "rejected", "nothing_found"],
    "nothing found": ["resolved", "withdrawn", "rejected"],
}  # fmt: skip
"""What may follow."""

UNTIL_AUDIT = ["received", "resolved", "claimed", "unlearned"]
PATHS = {
    "new": [],
    "received": ["received"],
    "pending": ["received", "resolved"],
    "claimed": ["received", "resolved", "claimed"],
    "unlearned": UNTIL_AUDIT,
    "to promote": [*UNTIL_AUDIT, "audited:promote"],
    "to accept": [*UNTIL_AUDIT, "audited:accept"],
    "to escalate": [*UNTIL_AUDIT, "audited:stronger"],
    "escalated": [*UNTIL_AUDIT, "audited:person", "escalated"],
    "fulfilled": [*UNTIL_AUDIT, "audited:promote", "fulfilled:unlearned"],
    "certified": [*UNTIL_AUDIT, "audited:promote", "fulfilled:unlearned", "certified"],
    "withdrawn": ["received", "withdrawn"],
    "rejected": ["received", "rejected"],
    "nothing": ["received", "resolved_nothing"],
    "nothing found": ["received", "resolved_nothing", "nothing_found"],
}
WORDS = sorted({word for words in TO.values() for word in words} | {"certified"})


@pytest.fixture(scope="session")
def apply(details: Callable[..., Any], now: datetime) -> Apply:
    """The state after one more event: `apply(state, "claimed", at=..., batch=...)`."""

    def one(state: State | None, word: Any, *, at: datetime = now, **changes: Any) -> State:
        event = Event(
            request="C-1",
            sequence=1 if state is None else state.head.sequence + 1,
            at=at,
            by="test",
            previous=NOTHING_BEFORE if state is None else state.head.digest,
            token="0" * 16,
            details=details(word, **changes) if isinstance(word, str) else word,
        )
        return after(state, event, digest_of(event.bytes()))

    return one


@pytest.fixture(scope="session")
def follow(apply: Apply) -> Apply:
    """The state after several events of one batch."""

    def several(*words: str) -> State | None:
        state = None
        for word in words:
            state = apply(state, word)
        return state

    return several  # type: ignore[return-value]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("place", TO)
def test_nothing_happens_but_what_the_table_allows(place: str, word: str, follow: Apply, apply: Apply) -> None:
    state = follow(*PATHS[place])
    if word in TO[place]:
        moved = apply(state, word)
        assert moved.head.sequence == len(PATHS[place]) + 1
        assert moved.head.kind == word.partition(":")[0]
        assert not moved.head.sealed
        return
    with pytest.raises(
        TransitionError, match=rf"^request 'C-1' is \w+ and cannot be {word.partition(':')[0]}: "
    ) as caught:
        apply(state, word)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "status", "closed"),
    [
        ("received", "received", False), ("pending", "resolved", False), ("claimed", "claimed", False),
        ("unlearned", "claimed", False), ("to accept", "claimed", False), ("escalated", "escalated", False),
        ("fulfilled", "fulfilled", False), ("certified", "fulfilled", True), ("withdrawn", "withdrawn", True),
        ("rejected", "rejected", True), ("nothing", "resolved", False), ("nothing found", "nothing_found", False),
    ],
)  # fmt: skip
def test_the_status_of_every_place(place: str, status: str, closed: bool, follow: Apply) -> None:
    state = follow(*PATHS[place])
    assert (state.status, state.closed) == (status, closed)
    assert status in STATUSES


@given(data=st.data())
def test_any_story_either_goes_on_or_is_refused_without_effect(
    data: st.DataObject, details: Callable[..., Any], now: datetime
) -> None:
    """Two models, two batches, time that passes: no batch ever writes for a model that another one holds."""
    state: State | None = None
    at, holder, head = now, dict[str, str](), NOTHING_BEFORE
    step = st.tuples(st.sampled_from(WORDS), st.sampled_from("mn"), st.sampled_from("bc"), st.integers(0, 40))
    for word, model, batch, minutes in [("received", "m", "b", 0), *data.draw(st.lists(step, max_size=25))]:
        at += timedelta(minutes=minutes)
        made = (
            details("resolved:m,n")
            if word == "resolved"
            else details(word, model=model, batch=batch, until=at + timedelta(minutes=30))
        )
        sequence = 1 if state is None else state.head.sequence + 1
        event = Event(request="C-1", sequence=sequence, at=at, by="t", previous=head, token="0" * 16, details=made)
        before = repr(state)
        try:
            moved = after(state, event, digest_of(event.bytes()))
        except TransitionError:
            assert repr(state) == before
            continue
        kind = word.partition(":")[0]
        models = {} if state is None else state.models
        if kind == "claimed":
            ended = models[model].until
            assert holder.get(model, batch) == batch or (ended and ended + timedelta(minutes=5) < at)
            holder[model] = batch
        elif kind in ("released", "unlearned", "audited", "escalated") or (kind == "fulfilled" and model in holder):
            assert holder[model] == batch
        if kind in ("released", "fulfilled"):
            holder.pop(model, None)
        if kind in ("withdrawn", "rejected"):
            assert all(not each.live(at) for each in models.values())
        assert moved.head.sequence == sequence
        state, head = moved, moved.head.digest


def test_the_first_event_agrees_with_itself_and_the_clock(apply: Apply, now: datetime) -> None:
    def received(at: datetime, due: datetime) -> events.Received:
        return events.Received(digest="0" * 64, received=at, due=due)

    with pytest.raises(TransitionError, match=r"must be due 2024-07-10 12:00 UTC"):
        apply(None, received(now, deadlines.due(now) + timedelta(seconds=1)))
    soon = now + timedelta(minutes=5)
    assert apply(None, received(soon, deadlines.due(soon))).status == "received"
    with pytest.raises(TransitionError, match="in the future"):
        apply(None, received(soon + timedelta(seconds=1), deadlines.due(soon + timedelta(seconds=1))))


def test_two_months_of_extensions_are_the_most_and_within_the_first_month(
    apply: Apply, follow: Apply, now: datetime
) -> None:
    state = follow("received", "extended")
    assert state.due == deadlines.due(state.received, 1)
    with pytest.raises(TransitionError, match="must then be due"):
        apply(state, "extended:1")
    state = apply(state, "extended:2")
    assert (state.extension, state.due) == (2, deadlines.due(state.received, 2))
    with pytest.raises(TransitionError, match="2 months are the most"):
        apply(state, "extended:3")
    first = follow("received")
    assert apply(first, "extended", at=first.due).extension == 1
    with pytest.raises(TransitionError, match="the person had to be told by 2024-06-30 12:00 UTC"):
        apply(first, "extended", at=first.due + timedelta(seconds=1))


def test_a_claim_keeps_others_away_until_it_ends(apply: Apply, follow: Apply, now: datetime) -> None:
    claimed = follow("received", "resolved", "claimed", "unlearned")
    end = now + timedelta(hours=1, minutes=5)
    for word in ("withdrawn", "rejected", "claimed", "resolved:n"):
        with pytest.raises(
            TransitionError, match="batch 'b' works on model 'm' until 2024-06-10 13:00 UTC: wait for it"
        ):
            apply(claimed, word, at=end, batch="c", until=end + timedelta(hours=9))
        assert apply(claimed, word, at=end + timedelta(seconds=1), batch="c", until=end + timedelta(hours=9)).head.kind
    taken = apply(claimed, "claimed", at=end + timedelta(seconds=1), batch="c", until=end + timedelta(hours=9))
    assert (taken.models["m"].status, taken.models["m"].batch, taken.models["m"].candidate) == ("claimed", "c", "")
    for word in ("unlearned", "released", "escalated", "claimed"):
        with pytest.raises(TransitionError, match=r"batch 'c' works|held by batch 'c', not by 'b'"):
            apply(taken, word, at=end + timedelta(seconds=2), until=end + timedelta(hours=9))
    # A batch that is late, but whose claim nobody took, may go on; and it may ask for longer.
    late = apply(claimed, "audited:promote", at=end + timedelta(days=1))
    assert late.models["m"].status == "audited"
    longer = apply(claimed, "claimed", until=now + timedelta(hours=8))
    assert (longer.models["m"].status, longer.models["m"].until) == ("unlearned", now + timedelta(hours=8))
    with pytest.raises(TransitionError, match="ended before it began"):
        apply(claimed, "claimed", until=now)


def test_models_go_side_by_side(apply: Apply, follow: Apply) -> None:
    state = follow("received", "resolved:m,n", "claimed", "escalated")
    assert state.status == "escalated"
    for word in ("claimed", "unlearned", "audited", "fulfilled"):
        state = apply(state, word, model="n", batch="c")
    assert (state.status, state.models["n"].status) == ("escalated", "fulfilled")
    assert state.models["n"].version == "2"
    state = apply(state, "released")
    assert state.status == "resolved"
    for word in ("claimed", "unlearned", "audited", "fulfilled"):
        state = apply(state, word, batch="d")
    assert (state.status, state.closed) == ("fulfilled", False)
    assert apply(state, "certified").closed


def test_a_later_resolution_counts_and_remembers_what_was_fulfilled(apply: Apply, follow: Apply) -> None:
    state = follow("received", "resolved:m,n", "claimed", "unlearned", "audited", "fulfilled")
    more = apply(state, "resolved:n,o")
    assert {name: model.status for name, model in more.models.items()} == {
        "m": "fulfilled", "n": "pending", "o": "pending"
    }  # fmt: skip
    assert apply(state, "resolved:m").status == "fulfilled"
    nothing_left = apply(state, "resolved_nothing")
    assert nothing_left.status == "fulfilled"
    with pytest.raises(TransitionError):
        apply(nothing_left, "nothing_found")
    assert apply(follow("received", "resolved:m,n", "claimed"), "resolved:m").models["m"].status == "claimed"


def test_records_that_no_model_was_trained_on(apply: Apply, follow: Apply) -> None:
    state = follow("received", "resolved_none")
    assert {name: model.status for name, model in state.models.items()} == {"": "pending"}
    with pytest.raises(TransitionError, match="not part of its latest resolution"):
        apply(state, "claimed")
    done = apply(state, events.Fulfilled(model="", batch="b", how="never_trained"))
    assert done.status == "fulfilled"


def test_what_serves_is_what_was_audited(apply: Apply, follow: Apply) -> None:
    state = follow("received", "resolved", "claimed", "unlearned", "audited")
    other = events.Fulfilled(model="m", batch="b", version="2", digest="d" * 64, how="unlearned")
    with pytest.raises(TransitionError, match="not the candidate of 'm' that was audited"):
        apply(state, other)
    assert apply(state, "unlearned").models["m"].status == "unlearned"


def test_an_office_in_another_zone_has_until_the_end_of_its_own_day(apply: Apply, now: datetime) -> None:
    def received(**changes: Any) -> events.Received:
        day = deadlines.office_day(now, "Europe/Berlin")
        values = {"digest": "0" * 64, "received": now, "due": deadlines.due(now, day=day), "day": day} | changes
        return events.Received(**values)

    def extended(zone: str, months: int) -> events.Extended:
        day = deadlines.office_day(now, zone, months)
        return events.Extended(months=1, reason="many records", due=deadlines.due(now, months, day), day=day)

    state = apply(None, received())
    assert state.due.isoformat() == "2024-07-10T21:59:59+00:00"
    with pytest.raises(TransitionError, match="must be due 2024-07-10 21:59 UTC"):
        apply(None, received(due=deadlines.due(now)))
    with pytest.raises(TransitionError, match="must be due 2024-07-10 12:00 UTC"):
        apply(None, received(day=None))
    longer = apply(state, extended("Europe/Berlin", 1), at=state.due)
    assert longer.due.isoformat() == "2024-08-10T21:59:59+00:00"
    assert apply(longer, extended("Europe/Berlin", 2)).due.isoformat() == "2024-09-10T21:59:59+00:00"
    with pytest.raises(TransitionError, match="in the days of another zone"):
        apply(state, extended("America/New_York", 1))
    with pytest.raises(TransitionError, match="in the days of another zone"):
        apply(state, "extended")
    with pytest.raises(TransitionError, match="had to be told by 2024-07-10 21:59 UTC"):
        apply(state, extended("Europe/Berlin", 1), at=state.due + timedelta(seconds=1))


def test_a_chain_is_never_earlier_than_its_latest_event(apply: Apply, follow: Apply, now: datetime) -> None:
    """A clock that was set back after the deadline: what comes then is as late as what came before."""
    late = now + timedelta(days=60)
    state = apply(follow("received", "resolved"), "claimed", at=late, until=late + timedelta(hours=1))
    with pytest.raises(TransitionError, match="the person had to be told by"):
        apply(state, "extended")
    for word in ("unlearned", "audited", "fulfilled"):
        state = apply(state, word, at=now)
    assert (state.at, state.fulfilled) == (late, late)
