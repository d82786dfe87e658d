from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearning.compliance.ledger import events
from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.ledger.verification import verify
from unlearning.compliance.requests import deadlines
from unlearning.compliance.requests.intake import add
from unlearning.core.errors import DamagedLedgerError, LostRaceError, TransitionError, UnknownRequestError, UserError
from unlearning.storage.local import LocalStore
from unlearning.storage.open import open_store
from unlearning.storage.store import Keys, Store

Told = Callable[..., State]
Details = Callable[..., Any]
FULL = ("resolved", "claimed", "unlearned", "audited", "fulfilled", "certified")
THREADS = 6


@pytest.fixture(params=["local", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    request.getfixturevalue("aws")
    return open_store("s3://erasure/some/prefix")


def test_a_request_from_its_receipt_to_its_certificate(store: LocalStore, told: Told) -> None:
    state = told("C-1", *FULL)
    assert (state.status, state.closed, state.head.sequence, state.head.sealed) == ("fulfilled", True, 7, True)
    history = Ledger(store).history("C-1")
    assert history is not None
    assert history.state == state == Ledger(store).state("C-1")
    assert [event.details.kind for event in history.events] == ["received", *FULL]
    assert [event.sequence for event in history.events] == list(range(1, 8))
    assert list(verify(store)) == []


def test_the_open_index_holds_a_request_until_it_is_closed(
    store: LocalStore, told: Told, details: Details, now: datetime
) -> None:
    for words in [FULL[:count] for count in range(len(FULL))]:
        told(f"C-{len(words)}", *words)
    assert Ledger(store).open_requests() == tuple(f"C-{count}" for count in range(len(FULL)))
    for number, word in ((0, "withdrawn"), (1, "rejected"), (5, "certified")):
        Ledger(store).append(Ledger(store).state(f"C-{number}"), details(word), by="test", now=now)
    assert Ledger(store).open_requests() == ("C-2", "C-3", "C-4")


def test_whoever_decided_on_an_older_state_is_refused(
    store: LocalStore, told: Told, details: Details, now: datetime
) -> None:
    ledger, state = Ledger(store), told("C-1", "resolved")
    ledger.append(state, details("claimed", batch="first"), by="one", now=now)
    with pytest.raises(LostRaceError, match=r"request 'C-1' got another event 3 before claimed: look at it again"):
        ledger.append(state, details("claimed", batch="second"), by="two", now=now)
    assert ledger.state("C-1").models["m"].batch == "first"


def test_a_batch_that_lost_its_claim_is_refused_on_either_way(
    store: LocalStore, told: Told, details: Details, now: datetime
) -> None:
    ledger, late = Ledger(store), told("C-1", "resolved", "claimed")
    later = now + timedelta(hours=2)
    claim = details("claimed", batch="next", until=later + timedelta(hours=1))
    ledger.append(ledger.state("C-1"), claim, by="next", now=later)
    with pytest.raises(LostRaceError):
        ledger.append(late, details("unlearned"), by="late", now=later)
    with pytest.raises(TransitionError, match="held by batch 'next', not by 'b'"):
        ledger.append(ledger.state("C-1"), details("unlearned"), by="late", now=later)
    assert ledger.state("C-1").head.sequence == 4


def test_what_cannot_happen_leaves_no_trace(store: LocalStore, told: Told, details: Details, now: datetime) -> None:
    state, before = told("C-1"), store.list("")
    for word in ("claimed", "certified", "nothing_found", "received"):
        with pytest.raises(TransitionError):
            Ledger(store).append(state, details(word), by="test", now=now)
    with pytest.raises(UserError, match=r"event withdrawn of request 'C-1': by: must be one line"):
        Ledger(store).append(state, details("withdrawn"), by="a\nb", now=now)
    assert store.list("") == [*before]


@pytest.mark.parametrize("request_id", ["C-9", "../C-1", "", "a/b"])
def test_a_request_that_is_not_there(store: LocalStore, request_id: str) -> None:
    with pytest.raises(UnknownRequestError):
        Ledger(store).state(request_id)


def test_one_of_many_writers_gets_each_place(
    any_store: Store, asked: Callable[..., Any], details: Details, now: datetime
) -> None:
    """Everybody wants to extend claims all the time; every event is by whoever was told that it was written."""
    add(any_store, [asked()], by="test", now=now)
    ledger, start = Ledger(any_store), threading.Barrier(THREADS)
    ledger.append(ledger.state("C-1"), details("resolved:m,n"), by="test", now=now)

    def contend(me: int) -> list[int]:
        mine = []
        start.wait()
        for minute in range(5):
            state = ledger.state("C-1")
            until = now + timedelta(hours=1, minutes=minute)
            try:
                mine.append(
                    ledger.append(state, details("claimed", until=until), by=f"writer {me}", now=now).head.sequence
                )
            except LostRaceError:
                continue
        return mine

    with ThreadPoolExecutor(THREADS) as pool:
        won = dict(enumerate(pool.map(contend, range(THREADS))))
    history = ledger.history("C-1")
    assert history is not None
    by_ledger = {event.sequence: event.by for event in history.events[2:]}
    assert by_ledger == {sequence: f"writer {me}" for me, mine in won.items() for sequence in mine}
    assert sorted(by_ledger) == list(range(3, len(history.events) + 1))
    assert len(by_ledger) >= 5
    assert list(verify(any_store)) == []


def test_one_of_many_batches_claims(
    any_store: Store, asked: Callable[..., Any], details: Details, now: datetime
) -> None:
    add(any_store, [asked()], by="test", now=now)
    ledger, start = Ledger(any_store), threading.Barrier(THREADS)
    state = ledger.append(ledger.state("C-1"), details("resolved"), by="test", now=now)

    def claim(me: int) -> bool:
        start.wait()
        try:
            ledger.append(state, details("claimed", batch=f"batch {me}"), by=f"batch {me}", now=now)
        except LostRaceError:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        winners = [me for me, won in enumerate(pool.map(claim, range(THREADS))) if won]
    assert [f"batch {me}" for me in winners] == [ledger.state("C-1").models["m"].batch]


def test_one_request_is_begun_once(any_store: Store, asked: Callable[..., Any], now: datetime) -> None:
    start = threading.Barrier(THREADS)
    any_store.list("")

    def begin(me: int) -> bool:
        start.wait()
        (added,) = add(any_store, [asked()], by=f"writer {me}", now=now)
        return added.created

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(begin, range(THREADS))) == 1
    assert Ledger(any_store).state("C-1").head.sequence == 1
    assert list(verify(any_store)) == []


@pytest.mark.parametrize("silent", [0, 1])
def test_lost_answers_never_make_two_events_and_trying_again_goes_on(
    store: LocalStore,
    asked: Callable[..., Any],
    details: Details,
    losing_answers: Callable[..., Any],
    now: datetime,
    silent: int,
) -> None:
    """With `silent` even the question whether it was written goes unanswered, so the caller has to look again."""
    losing = losing_answers(store, silent)
    ledger, lost = Ledger(losing), 0
    for _ in range(20):
        try:
            add(losing, [asked()], by="test", now=now)
            break
        except UserError:
            lost += 1
    for word in FULL:
        before = ledger.state("C-1").head.sequence
        while (state := ledger.state("C-1")).head.sequence == before:
            try:
                ledger.append(state, details(word), by="test", now=now)
            except LostRaceError:
                pytest.fail("nobody else was there")
            except UserError:
                lost += 1
    assert bool(lost) is bool(silent)
    history = Ledger(store).history("C-1")
    assert history is not None
    assert [event.details.kind for event in history.events] == ["received", *FULL]
    assert not any(problem.damage for problem in verify(store))


def test_an_event_without_its_seal_counts_and_is_sealed_by_the_next(
    store: LocalStore, told: Told, details: Details, now: datetime
) -> None:
    state = told("C-1", "resolved")
    for key in store.list("seals"):
        if "00000002" in key:
            store.delete(key)
    ledger = Ledger(store)
    unsealed = ledger.state("C-1")
    assert (unsealed.head.sequence, unsealed.head.sealed) == (2, False)
    assert [problem.kind for problem in verify(store)] == ["unsealed"]
    ledger.append(unsealed, details("claimed"), by="test", now=now)
    assert list(verify(store)) == []
    assert len(store.list("seals")) == 3
    assert state.head.sequence == 2


@pytest.mark.parametrize("word", ["claimed", "withdrawn"])
def test_wherever_a_writer_dies_the_next_one_goes_on(
    store: LocalStore, told: Told, details: Details, dying: Callable[..., Any], now: datetime, word: str
) -> None:
    for writes in range(4):
        request = f"C-{writes}"
        state = told(request, "resolved")
        died = False
        try:
            Ledger(dying(store, writes)).append(state, details(word), by="test", now=now)
        except KeyboardInterrupt:
            died = True
        assert not any(problem.damage for problem in verify(store))
        ledger = Ledger(store)
        if (found := ledger.state(request)).head.sequence == 2:
            found = ledger.append(found, details(word), by="test", now=now)
        mended = ledger.mend(found)
        assert (mended.head.sequence, mended.head.kind, mended.head.sealed) == (3, word, True)
        assert list(verify(store)) == []
        assert died == (writes < (3 if word == "withdrawn" else 2))


def test_a_writer_told_by_nobody_that_it_wrote_is_believed_by_the_ledger(
    store: LocalStore, told: Told, details: Details, now: datetime
) -> None:
    """The seal cannot be written: the event counts all the same, and says so."""

    class Sealless(LocalStore):
        def create(self, key: str, data: bytes) -> bool:
            if key.startswith("seals/"):
                raise UserError("the store cannot be reached")
            return super().create(key, data)

    state = Ledger(Sealless(store.root)).append(told("C-1"), details("resolved"), by="test", now=now)
    assert (state.head.sequence, state.head.sealed) == (2, False)
    with pytest.raises(UserError, match="cannot be reached"):
        Ledger(Sealless(store.root)).append(state, details("claimed"), by="test", now=now)
    assert Ledger(store).append(state, details("claimed"), by="test", now=now).head.sealed
    assert list(verify(store)) == []


def test_nothing_is_built_on_a_damaged_ledger(store: LocalStore, told: Told) -> None:
    told("C-1", "resolved", "claimed")
    (store.root / "ledger/C-1/00000002.json").unlink()
    with pytest.raises(
        DamagedLedgerError, match=r"'C-1' is damaged at event 2 \(the event is gone, whose seal says resolved\)"
    ):
        Ledger(store).state("C-1")


def test_events_that_others_append_between_two_questions_are_no_damage(
    store: LocalStore, told: Told, details: Details, now: datetime
) -> None:
    told("C-1", "resolved")

    class Busy(LocalStore):
        """Whenever somebody has listed the seals, two events are appended."""

        def list(self, prefix: str) -> Keys:
            keys, ledger = super().list(prefix), Ledger(store)
            for batch in ("b", "b"):
                ledger.append(ledger.state("C-1"), details("claimed", batch=batch), by="other", now=now)
            return keys

    assert Ledger(Busy(store.root)).state("C-1").head.sequence == 4


def test_a_listing_that_misses_a_seal_made_meanwhile_is_no_damage(store: LocalStore, told: Told) -> None:
    told("C-1", "resolved", "claimed")

    class Blurred(LocalStore):
        """The first listings miss the second seal, and never the third."""

        missing = 2

        def list(self, prefix: str) -> Keys:
            keys = super().list(prefix)
            self.missing -= 1
            return keys if self.missing < 0 else [key for key in keys if "/00000002." not in key]

    assert Ledger(Blurred(store.root)).state("C-1").head.sequence == 3
    always = Blurred(store.root)
    always.missing = 9
    with pytest.raises(DamagedLedgerError, match=r"at event 2 \(the event resolved has no seal\)"):
        Ledger(always).state("C-1")


def test_reading_while_others_write(store: LocalStore, told: Told, details: Details, now: datetime) -> None:
    """Whoever reads sees a state that there was, never damage."""
    told("C-1", "resolved", "claimed")
    done, seen = threading.Event(), list[int]()

    def watch() -> None:
        while not done.is_set():
            seen.append(Ledger(store).state("C-1").head.sequence)

    watcher = threading.Thread(target=watch)
    watcher.start()
    ledger = Ledger(store)
    state = ledger.state("C-1")
    for minute in range(60):
        state = ledger.append(
            state, details("claimed", until=now + timedelta(hours=1, minutes=minute)), by="t", now=now
        )
    done.set()
    watcher.join()
    assert seen == sorted(seen)
    assert seen[-1] > 3


@settings(max_examples=25)
@given(
    words=st.lists(st.sampled_from([*FULL, "extended", "released", "escalated", "withdrawn", "purged"]), max_size=12)
)
def test_any_story_is_read_as_it_was_told(
    words: list[str], details: Details, now: datetime, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ledger = Ledger(LocalStore(tmp_path_factory.mktemp("store")))
    received = now - timedelta(days=1)
    first = events.Received(digest="0" * 64, received=received, due=deadlines.due(received))
    state, written = ledger.begin("C-1", first, by="t", now=now), ["received"]
    for word in words:
        try:
            state = ledger.append(state, details(word), by="t", now=now)
        except TransitionError:
            continue
        written.append(word)
    history = ledger.history("C-1")
    assert history is not None
    assert history.state == state
    assert [event.details.kind for event in history.events] == written
    assert ledger.open_requests() == (() if state.closed else ("C-1",))


def test_time_never_runs_backwards_and_a_jump_is_told(
    store: LocalStore, told: Told, details: Details, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, state = Ledger(store), told("C-1", "resolved")
    state = ledger.append(state, details("claimed"), by="t", now=now - timedelta(minutes=5))
    assert capsys.readouterr().err == ""
    state = ledger.append(state, details("unlearned"), by="t", now=now - timedelta(days=40))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: request 'C-1': unlearned was written at 2024-05-01 12:00 UTC, before 2024-06-10")
    history = ledger.history("C-1")
    assert history is not None
    assert [event.at for event in history.events] == [now] * 4
    assert [event.clock for event in history.events] == [None, None, None, now - timedelta(days=40)]
    (problem,) = verify(store)
    assert (problem.kind, problem.sequence, problem.damage, problem.note) == ("clock_set_back", 4, False, True)


def test_a_clock_that_ran_ahead_stops_no_batch(store: LocalStore, told: Told, details: Details, now: datetime) -> None:
    """An event of next year: what follows is as late as that, and claims go by the clocks of those who work."""
    ledger, ahead = Ledger(store), now + timedelta(days=365)
    state = ledger.append(told("C-1"), details("resolved"), by="t", now=ahead)
    state = ledger.append(state, details("claimed"), by="b", now=now)
    with pytest.raises(TransitionError, match="batch 'b' works on model 'm'"):
        ledger.append(state, details("claimed", batch="c", until=now + timedelta(hours=2)), by="c", now=now)
    for word in FULL[2:]:
        state = ledger.append(state, details(word), by="b", now=now)
    assert (state.status, state.fulfilled) == ("fulfilled", ahead)


@given(minutes=st.lists(st.integers(-60 * 24 * 40, 60 * 24 * 40), max_size=8))
def test_however_clocks_jump_times_of_a_chain_only_grow(
    minutes: list[int], details: Details, now: datetime, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    ledger, received = Ledger(store), now - timedelta(days=1)
    first = events.Received(digest="0" * 64, received=received, due=deadlines.due(received))
    state = ledger.begin("C-1", first, by="t", now=now)
    for each in minutes:
        state = ledger.append(state, details("resolved"), by="t", now=now + timedelta(minutes=each))
    history = ledger.history("C-1")
    assert history is not None
    times = [event.at for event in history.events]
    assert times == sorted(times)
    assert not any(problem.damage for problem in history.problems)
