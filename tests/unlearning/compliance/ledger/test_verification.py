from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from unlearning.compliance.ledger.events import NOTHING_BEFORE, digest_of, read_event
from unlearning.compliance.ledger.hash_chain import Seal
from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.ledger.verification import verify, verify_request
from unlearning.compliance.requests.intake import add
from unlearning.core.errors import UserError
from unlearning.storage.keys import event_key, request_key, seal_folder
from unlearning.storage.local import LocalStore

Told = Callable[..., State]
WORDS = ("resolved", "claimed", "unlearned", "audited", "fulfilled")
COUNT = 1 + len(WORDS)


@pytest.fixture
def small(store: LocalStore, told: Told) -> LocalStore:
    """A request that is fulfilled, one that was just received, and one that was withdrawn."""
    told("C-1", *WORDS)
    told("C-2")
    told("C-3", "withdrawn")
    assert list(verify(store)) == []
    return store


def event_path(store: LocalStore, sequence: int, request: str = "C-1") -> Path:
    return store.root / event_key(request, sequence)


def seal_path(store: LocalStore, sequence: int, request: str = "C-1") -> Path:
    (found,) = (store.root / seal_folder(request)).glob(f"{sequence:08}.*")
    return found


def found(store: LocalStore) -> set[tuple[str, str, int | None]]:
    problems = list(verify(store))
    for problem in problems:
        assert "\n" not in problem.text
        assert problem.damage is (problem.kind not in ("unsealed", "still_open"))
    return {(problem.kind, problem.request, problem.sequence) for problem in problems}


def test_every_change_of_a_single_byte_is_found(small: LocalStore) -> None:
    """Every byte of every event, a bit of it each; which one goes round, so that all eight have their turn."""
    changes = 0
    for sequence in range(1, COUNT + 1):
        path = event_path(small, sequence)
        data = path.read_bytes()
        for place in range(len(data)):
            path.write_bytes(data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
            kinds = {(problem.kind, problem.sequence) for problem in verify_request(small, "C-1")}
            assert ("changed", sequence) in kinds, (sequence, place)
            changes += 1
        path.write_bytes(data)
    assert changes > 1500
    assert found(small) == set()


def test_every_change_of_a_single_byte_of_what_was_asked_is_found(small: LocalStore) -> None:
    path = small.root / request_key("C-2")
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
        assert [problem.kind for problem in verify_request(small, "C-2")] == ["request_changed"]


@pytest.mark.parametrize("sequence", range(1, COUNT + 1))
def test_every_deletion_is_found(small: LocalStore, sequence: int) -> None:
    event_path(small, sequence).unlink()
    assert ("missing", "C-1", sequence) in found(small)


def test_a_ledger_that_is_gone_is_found(small: LocalStore) -> None:
    shutil.rmtree(small.root / "ledger/C-1")
    assert {("missing", "C-1", sequence) for sequence in range(1, COUNT + 1)} <= found(small)


def test_a_shortened_ledger_is_found(small: LocalStore) -> None:
    for sequence in range(3, COUNT + 1):
        event_path(small, sequence).unlink()
    assert found(small) == {("missing", "C-1", sequence) for sequence in range(3, COUNT + 1)}


@pytest.mark.parametrize(("one", "other"), list(combinations(range(1, COUNT + 1), 2)))
def test_every_swap_is_found(small: LocalStore, one: int, other: int) -> None:
    first, second = event_path(small, one).read_bytes(), event_path(small, other).read_bytes()
    event_path(small, one).write_bytes(second)
    event_path(small, other).write_bytes(first)
    assert {("changed", "C-1", one), ("changed", "C-1", other)} <= found(small)


@pytest.mark.parametrize(("one", "other"), [(2, 3), (1, 6)])
def test_a_swap_of_seals_too_is_found_by_the_chain(small: LocalStore, one: int, other: int) -> None:
    datas = {sequence: event_path(small, sequence).read_bytes() for sequence in (one, other)}
    for sequence in (one, other):
        seal_path(small, sequence).unlink()
    for sequence, source in ((one, other), (other, one)):
        event_path(small, sequence).write_bytes(datas[source])
        event = read_event(datas[source])
        assert event is not None
        name = Seal(sequence, event.details.kind, digest_of(datas[source])).name
        (small.root / seal_folder("C-1") / name).write_bytes(b"")
    assert {("misplaced", "C-1", one), ("broken_chain", "C-1", one), ("misplaced", "C-1", other)} <= found(small)


@pytest.mark.parametrize("sequence", range(1, COUNT + 2))
def test_every_insertion_is_found(small: LocalStore, sequence: int) -> None:
    """The later events move on by one; their seals stay, or move with them."""
    inserted = event_path(small, 1, "C-3").read_bytes()
    for later in range(COUNT, sequence - 1, -1):
        shutil.move(event_path(small, later), event_path(small, later + 1))
    event_path(small, sequence).write_bytes(inserted)
    kinds = {(kind, place) for kind, request, place in found(small) if request == "C-1"}
    assert kinds & {("changed", sequence), ("misplaced", sequence)}
    for later in range(COUNT, sequence - 1, -1):
        path = seal_path(small, later)
        path.rename(path.with_name(f"{later + 1:08}{path.name[8:]}"))
    name = Seal(sequence, "received", digest_of(inserted)).name
    (small.root / seal_folder("C-1") / name).write_bytes(b"")
    assert ("misplaced", "C-1", sequence) in found(small)


def test_an_event_that_was_made_up_with_its_seal_breaks_the_chain_after_it(small: LocalStore) -> None:
    path = event_path(small, 3)
    event = read_event(path.read_bytes())
    assert event is not None
    forged = event.model_copy(update={"by": "somebody"}).bytes()
    seal_path(small, 3).unlink()
    path.write_bytes(forged)
    (small.root / seal_folder("C-1") / Seal(3, "claimed", digest_of(forged)).name).write_bytes(b"")
    assert found(small) == {("broken_chain", "C-1", 4)}


def test_what_cannot_happen_is_found_even_in_a_sound_chain(small: LocalStore) -> None:
    """The withdrawn request goes on: chained and sealed as it should be, but not possible."""
    last = event_path(small, 2, "C-3").read_bytes()
    template = read_event(event_path(small, 2).read_bytes())
    assert template is not None
    update = {"request": "C-3", "sequence": 3, "previous": digest_of(last)}
    data = template.model_copy(update=update).bytes()
    event_path(small, 3, "C-3").write_bytes(data)
    (small.root / seal_folder("C-3") / Seal(3, "resolved", digest_of(data)).name).write_bytes(b"")
    assert found(small) == {("impossible", "C-3", 3)}


def test_a_missing_seal_is_damage_unless_it_is_the_last(small: LocalStore) -> None:
    seal_path(small, COUNT).unlink()
    assert found(small) == {("unsealed", "C-1", COUNT)}
    seal_path(small, 2).unlink()
    assert found(small) == {("unsealed", "C-1", COUNT), ("missing_seal", "C-1", 2)}
    shutil.rmtree(small.root / "seals/C-1")
    kinds = [problem.kind for problem in verify(small)]
    assert kinds == ["missing_seal"] * (COUNT - 1) + ["unsealed"]


def test_seals_that_are_none_or_say_something_else(small: LocalStore) -> None:
    folder = small.root / "seals/C-1"
    (folder / "something").write_bytes(b"")
    assert found(small) == {("bad_seal", "C-1", None)}
    (folder / "something").unlink()
    (folder / Seal(2, "resolved", NOTHING_BEFORE).name).write_bytes(b"")
    assert ("bad_seal", "C-1", None) in found(small)
    (folder / Seal(2, "resolved", NOTHING_BEFORE).name).unlink()
    path = seal_path(small, 2)
    path.rename(path.with_name(path.name.replace("resolved", "withdrawn")))
    assert found(small) == {("bad_seal", "C-1", 2)}


def test_a_seal_without_its_event(small: LocalStore) -> None:
    (small.root / "seals/C-2" / Seal(2, "withdrawn", NOTHING_BEFORE).name).write_bytes(b"")
    assert found(small) == {("missing", "C-2", 2)}


def test_a_gap_however_large_is_one_problem(small: LocalStore) -> None:
    (small.root / "seals/C-2" / Seal(99_999_999, "withdrawn", NOTHING_BEFORE).name).write_bytes(b"")
    assert found(small) == {("missing", "C-2", 2), ("missing", "C-2", 99_999_999)}
    with pytest.raises(UserError, match="events 2 to 99999998 are gone"):
        Ledger(small).state("C-2")
    event_path(small, 2).unlink()
    seal_path(small, 2).unlink()
    assert ("missing", "C-1", 2) in found(small)


@pytest.mark.parametrize("name", ["00000009.json.bak", "9.json", "00000000.json", "notes"])
def test_foreign_objects(small: LocalStore, name: str) -> None:
    (small.root / "ledger/C-1" / name).write_bytes(b"")
    assert found(small) == {("unknown_object", "C-1", None)}


def test_foreign_names(small: LocalStore) -> None:
    (small.root / "ledger/-x").mkdir()
    (small.root / "ledger/-x/00000001.json").write_bytes(b"")
    (small.root / "requests/notes").write_bytes(b"")
    assert found(small) == {("unknown_object", "-x", None), ("unknown_object", "requests/notes", None)}


def test_an_object_that_is_no_event(small: LocalStore) -> None:
    event_path(small, 2, "C-2").write_bytes(b"{}")
    assert found(small) == {("unreadable", "C-2", 2)}


def test_the_open_index_must_agree(small: LocalStore) -> None:
    small.delete("open/C-1")
    small.create("open/C-3", b"")
    small.create("open/C-9", b"")
    assert found(small) == {("not_open", "C-1", None), ("still_open", "C-3", None), ("unfinished", "C-9", None)}


def test_what_was_asked_may_be_gone_after_the_end_only(small: LocalStore) -> None:
    for request in ("C-1", "C-2", "C-3"):
        small.delete(request_key(request))
    assert found(small) == {("request_missing", "C-2", None)}


def test_a_request_object_alone_was_not_added_to_the_end(
    store: LocalStore, asked: Callable[..., Any], dying: Callable[..., Any], now: Any
) -> None:
    with pytest.raises(KeyboardInterrupt):
        add(dying(store, 1), [asked()], by="test", now=now)
    assert found(store) == {("unfinished", "C-1", None)}
    add(store, [asked()], by="test", now=now)
    assert found(store) == set()


def test_one_request_alone(small: LocalStore) -> None:
    event_path(small, 1, "C-2").write_bytes(b"{}")
    assert verify_request(small, "C-1") == ()
    assert [problem.kind for problem in verify_request(small, "C-2")] == ["changed"]
    for nobody in ("C-9", "../C-1", ""):
        with pytest.raises(UserError, match="is not in the store"):
            verify_request(small, nobody)


@pytest.mark.usefixtures("aws")
def test_s3_is_verified_as_a_folder_is(small: LocalStore) -> None:
    from unlearning.storage.open import open_store

    remote = open_store("s3://erasure/p")
    for key in small.list(""):
        remote.create(key, small.read(key))
    assert list(verify(remote)) == []
    remote.delete(event_key("C-1", COUNT))
    assert [(problem.kind, problem.sequence) for problem in verify(remote)] == [("missing", COUNT)]
