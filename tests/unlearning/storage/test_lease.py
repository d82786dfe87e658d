from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from unlearning.core.errors import UserError
from unlearning.storage.lease import LOOK, lock
from unlearning.storage.local import LocalStore
from unlearning.storage.store import Keys

KEY = "locks/promote"


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def test_a_held_lock_names_its_holder_and_its_end(store: LocalStore) -> None:
    clock = Clock()
    with lock(store, KEY, "run-1", seconds=60, now=clock) as lease:
        lease.check()
        with (
            pytest.raises(UserError, match=r"held by run-1 until 1970-01-12 13:47:40 UTC"),
            lock(store, KEY, "run-2", seconds=60, now=clock),
        ):
            pytest.fail("two holders")
        with lock(store, "locks/other", "run-2", seconds=60, now=clock):
            pass
    with lock(store, KEY, "run-2", seconds=60, now=clock):
        pass


def test_who_is_patient_has_the_lock_when_a_dead_holders_lease_ends(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, slept = Clock(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.time += seconds

    lease = lock(store, KEY, "run-1", seconds=60, now=clock)
    lease.__enter__()  # and dies
    with lock(store, KEY, "run-1", seconds=60, patience=60, now=clock, sleep=sleep) as again:
        again.check()
    assert 60 <= sum(slept) < 60 + 2 * LOOK
    assert (
        capsys.readouterr().err.count("held by run-1 until 1970-01-12 13:47:40 UTC: wait until it is done; waiting")
        == 1
    )


def test_patience_ends(store: LocalStore) -> None:
    clock = Clock()

    def sleep(seconds: float) -> None:
        clock.time += seconds

    with (
        lock(store, KEY, "run-1", seconds=60, now=clock),
        pytest.raises(UserError, match="held by run-1"),
        lock(store, KEY, "run-2", seconds=60, patience=30, now=clock, sleep=sleep),
    ):
        pytest.fail("two holders")
    assert clock.time == 1_000_030.0


def test_the_lock_is_released_when_the_block_fails(store: LocalStore) -> None:
    with pytest.raises(ZeroDivisionError), lock(store, KEY, "run-1", seconds=60):
        raise ZeroDivisionError
    with lock(store, KEY, "run-2", seconds=60):
        pass


def test_an_expired_lease_is_taken_over_and_its_holder_can_tell(store: LocalStore) -> None:
    clock = Clock()
    with lock(store, KEY, "slow", seconds=60, now=clock) as slow:
        clock.time += 60
        with pytest.raises(UserError, match="ran out"):
            slow.check()
        with lock(store, KEY, "next", seconds=60, now=clock) as following:
            assert following.number > slow.number
            clock.time -= 60  # even by a clock that says otherwise, who was taken over does not hold
            with pytest.raises(UserError, match="the lease of slow ran out"):
                slow.check()
            following.check()


def test_a_late_release_does_not_free_the_next_holders_lock(store: LocalStore) -> None:
    clock = Clock()
    with lock(store, KEY, "slow", seconds=60, now=clock):
        clock.time += 61
        holding = lock(store, KEY, "next", seconds=60, now=clock)
        lease = holding.__enter__()
    lease.check()
    with pytest.raises(UserError, match="held by next"), lock(store, KEY, "third", seconds=60, now=clock):
        pytest.fail("two holders")
    holding.__exit__(None, None, None)
    with lock(store, KEY, "third", seconds=60, now=clock):
        pass


def test_a_very_late_release_is_harmless(store: LocalStore) -> None:
    """The number that it wants was used and deleted long ago, so that it is made once more."""
    clock = Clock()
    with lock(store, KEY, "slow", seconds=60, now=clock):
        clock.time += 61
        for _ in range(5):
            with lock(store, KEY, "next", seconds=60, now=clock):
                pass
        holding = lock(store, KEY, "last", seconds=60, now=clock)
        lease = holding.__enter__()
    lease.check()
    with pytest.raises(UserError, match="held by last"), lock(store, KEY, "x", seconds=60, now=clock):
        pytest.fail("two holders")
    holding.__exit__(None, None, None)


def test_a_contender_that_slept_between_looking_and_creating_loses(tmp_path: Path) -> None:
    class Sleepy(LocalStore):
        """The first listing is followed by a long pause, in which others come and go."""

        slept = False

        def list(self, prefix: str) -> Keys:
            keys = super().list(prefix)
            if not self.slept:
                self.slept = True
                others = LocalStore(self.root)
                for _ in range(5):
                    with lock(others, KEY, "others", seconds=60):
                        pass
                self.holding = lock(others, KEY, "holder", seconds=60)
                self.lease = self.holding.__enter__()
            return keys

    with lock(LocalStore(tmp_path), KEY, "before", seconds=60):
        pass
    sleepy = Sleepy(tmp_path)
    with pytest.raises(UserError, match="held by holder"), lock(sleepy, KEY, "sleepy", seconds=60):
        pytest.fail("two holders")
    sleepy.lease.check()
    sleepy.holding.__exit__(None, None, None)


def test_used_generations_do_not_pile_up(store: LocalStore) -> None:
    for _ in range(20):
        with lock(store, KEY, "run", seconds=60):
            pass
    assert len(store.list(KEY)) <= 4


def test_a_lock_below_another_locks_key_is_another_lock(store: LocalStore) -> None:
    with lock(store, "locks", "outer", seconds=60), lock(store, "locks/7", "inner", seconds=60):
        pass


def test_one_of_eight_takes_over_an_expired_lease(store: LocalStore) -> None:
    clock = Clock()
    crashed = lock(store, KEY, "crashed", seconds=60, now=clock)  # kept: a collected one would release
    crashed.__enter__()
    clock.time += 61
    start, everybody_tried = threading.Barrier(8), threading.Barrier(8)

    def contend(me: int) -> bool:
        start.wait()
        try:
            with lock(store, KEY, f"run-{me}", seconds=60, now=clock) as lease:
                everybody_tried.wait()
                lease.check()
                return True
        except UserError:
            everybody_tried.wait()
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(contend, range(8))) == 1


def test_holders_never_overlap(store: LocalStore) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(me: int) -> int:
        turns = 0
        for _ in range(30):
            try:
                with lock(store, KEY, f"run-{me}", seconds=60):
                    inside.append(me)
                    most.append(len(inside))
                    turns += 1
                    inside.remove(me)
            except UserError:
                continue
        return turns

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == len(most) > 0
    assert max(most) == 1


def test_a_damaged_lock_object_is_named(store: LocalStore) -> None:
    store.create(f"{KEY}/1", json.dumps({"owner": "x"}).encode())
    with pytest.raises(UserError, match=f"'{KEY}/1' is damaged"), lock(store, KEY, "run", seconds=60):
        pass


def test_a_store_lost_meanwhile_does_not_hide_how_the_block_ended(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(key: str, data: bytes) -> bool:
        raise UserError("store cannot be reached")

    holding = lock(store, KEY, "run", seconds=60)
    holding.__enter__()
    monkeypatch.setattr(store, "create", unreachable)
    failure = ZeroDivisionError()
    assert not holding.__exit__(ZeroDivisionError, failure, None)
    with pytest.raises(UserError, match="held by run"), lock(store, KEY, "next", seconds=60):
        pytest.fail("two holders")
