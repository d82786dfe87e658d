from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests.intake import add
from unlearning.compliance.requests.open_requests import Unusable, collect, standing
from unlearning.compliance.requests.requests import Request
from unlearning.core.errors import UserError
from unlearning.storage.local import LocalStore
from unlearning.storage.open import open_store
from unlearning.storage.store import Keys, Store

Told = Callable[..., State]
Asked = Callable[..., Request]


@pytest.fixture(params=["local", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    request.getfixturevalue("aws")
    return open_store("s3://erasure/some/prefix")


def test_open_requests_come_in_the_order_of_their_deadlines(any_store: Store, asked: Asked, now: datetime) -> None:
    several = [asked(f"C-{number}", received=now - timedelta(days=number % 7)) for number in range(20)]
    add(any_store, several, by="test", now=now)
    found = collect(any_store, mend=True)
    assert found.unusable == ()
    assert [state.request for state in found.states] == [
        request.id for request in sorted(several, key=lambda request: (request.received, request.id))
    ]
    assert list(found.states) == [Ledger(any_store).state(state.request) for state in found.states]


def test_closed_requests_are_not_looked_at(store: LocalStore, told: Told) -> None:
    told("C-1", "withdrawn")
    told("C-2", "resolved")

    class Watched(LocalStore):
        read_keys: ClassVar[list[str]] = []

        def read(self, key: str) -> bytes:
            self.read_keys.append(key)
            return super().read(key)

    watched = Watched(store.root)
    assert [state.request for state in collect(watched, mend=True).states] == ["C-2"]
    assert watched.read_keys == [f"ledger/C-2/0000000{number}.json" for number in (1, 2, 3)]
    assert [each.request for each in standing(store, closed=True) if isinstance(each, State)] == ["C-1", "C-2"]
    assert [each.request for each in standing(store, closed=False)] == ["C-2"]


def test_what_crashes_left_behind_is_put_right_by_a_batch_only(store: LocalStore, told: Told) -> None:
    told("C-1", "withdrawn")
    told("C-2", "resolved")
    store.create("open/C-1", b"")
    (seal,) = [key for key in store.list("seals/C-2") if "resolved" in key]
    store.delete(seal)
    before = store.list("")
    looked = collect(store, mend=False)
    assert [state.request for state in looked.states] == ["C-2"]
    assert store.list("") == before
    assert collect(store, mend=True).states[0].head.sealed
    assert store.list("") == sorted({*before, seal} - {"open/C-1"})


def test_one_damaged_ledger_does_not_keep_the_others_waiting(store: LocalStore, told: Told) -> None:
    for number in range(3):
        told(f"C-{number}")
    (store.root / "ledger/C-1/00000001.json").write_bytes(b"{}")
    store.create("open/-x", b"")
    store.create("open/C-9", b"")
    found = collect(store, mend=True)
    assert [state.request for state in found.states] == ["C-0", "C-2"]
    told_why = {each.request: each.why for each in found.unusable}
    assert list(told_why) == ["-x", "C-1", "C-9"]
    assert "damaged at event 1" in told_why["C-1"]
    assert "add it again" in told_why["C-9"]
    assert store.exists("open/C-9")
    assert all(isinstance(each, Unusable | State) for each in standing(store, closed=False))


def test_a_store_that_is_lost_is_no_damage(store: LocalStore, told: Told) -> None:
    told("C-1")

    class Lost(LocalStore):
        def read(self, key: str) -> bytes:
            raise UserError("the store cannot be reached")

    with pytest.raises(UserError, match="cannot be reached"):
        collect(Lost(store.root), mend=True)


def test_a_pending_request_takes_three_questions(store: LocalStore, asked: Asked, now: datetime) -> None:
    """One listing of its seals, its event, and whether there is another: many requests must be collected from S3."""
    add(store, [asked(f"C-{number}") for number in range(10)], by="test", now=now)

    class Counting(LocalStore):
        questions: ClassVar[list[str]] = []

        def read(self, key: str) -> bytes:
            self.questions.append(key)
            return super().read(key)

        def list(self, prefix: str) -> Keys:
            self.questions.append(prefix)
            return super().list(prefix)

    counting = Counting(store.root)
    collect(counting, mend=True)
    assert len(counting.questions) == 1 + 3 * 10
