from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from unlearning.compliance.certificates import keys
from unlearning.compliance.checkpoints import log as logs
from unlearning.compliance.checkpoints.making import Made, copy_of, knows, make, warnings
from unlearning.compliance.checkpoints.verification import Trust, verify
from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests.intake import withdraw
from unlearning.core.errors import UserError
from unlearning.storage.keys import checkpoint_key, event_key
from unlearning.storage.local import LocalStore

Told = Callable[..., State]
Make = Callable[..., Made]


def test_one_names_heads_tombstones_and_certificates_and_the_next_what_is_new(
    store: LocalStore, told: Told, honoured: Callable[[str], None], checkpoint: Make
) -> None:
    honoured("C-1")
    first = checkpoint()
    assert (first.number, first.objects, first.added, first.missing, first.unsound) == (1, 4, 4, (), ())
    told("C-2")
    second = checkpoint()
    assert (second.number, second.objects, second.added) == (2, 5, 1)
    log = logs.read(store)
    assert [leaf.key for leaf in log.documents[1].leaves] == [
        "certificates/C-1/1.json", "ledger/C-1/00000007.json",
        f"tombstones/{0:064x}/C-1", f"tombstones/{1:064x}/C-1",
    ]  # fmt: skip
    assert [leaf.key for leaf in log.documents[2].leaves] == ["ledger/C-2/00000001.json"]
    assert log.documents[2].checkpoint.previous == hashlib.sha256(log.documents[1].line).hexdigest()
    assert all(hashlib.sha256(store.read(leaf.key)).hexdigest() == leaf.digest for leaf in log.leaves())


def test_with_nothing_new_there_is_no_new_one_but_for_a_new_key(
    store: LocalStore, told: Told, checkpoint: Make, now: datetime
) -> None:
    told("C-1")
    first, again = checkpoint(), checkpoint()
    assert (again.number, again.added) == (first.number, 0)
    other = keys.new()
    assert make(store, other, now=now).number == 2
    assert make(store, other, now=now).number == 2


def test_it_can_be_checked_by_hand(store: LocalStore, honoured: Callable[[str], None], checkpoint: Make) -> None:
    honoured("C-1")
    made = checkpoint()
    command = f"tail -n +2 {made.key} | sha256sum --check --quiet"
    assert subprocess.run(["sh", "-c", command], cwd=store.root, check=False).returncode == 0
    store.delete("certificates/C-1/1.json")
    done = subprocess.run(["sh", "-c", command], cwd=store.root, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "certificates/C-1/1.json" in done.stderr


def test_what_is_missing_stays_in_it_and_is_told_without_a_record_id(
    store: LocalStore, honoured: Callable[[str], None], checkpoint: Make
) -> None:
    honoured("C-1")
    checkpoint()
    store.delete(f"tombstones/{0:064x}/C-1")
    made = checkpoint()
    assert (made.missing, made.objects) == ((f"tombstones/{0:064x}/C-1",), 4)
    (line,) = warnings(made)
    assert line.startswith("the tombstone of record 000000000000… of request C-1 of an earlier checkpoint is not in")


def test_an_event_that_is_not_the_one_that_was_sealed_is_not_signed(
    store: LocalStore, told: Told, checkpoint: Make
) -> None:
    told("C-1")
    path = store.root / event_key("C-1", 1)
    path.write_bytes(path.read_bytes().replace(b"test", b"tost"))
    made = checkpoint()
    assert (made.unsound, made.objects) == (("C-1",), 0)
    assert len([*warnings(made)]) == 1


def test_time_never_runs_backwards(
    store: LocalStore, told: Told, checkpoint: Make, signer: keys.PrivateKey, now: datetime,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    told("C-1")
    checkpoint()
    told("C-2")
    assert make(store, signer, now=now - timedelta(days=3)).at == now
    assert "it is 2024-06-07 12:00 UTC here, before the checkpoint of 2024-06-10" in capsys.readouterr().err


def test_of_many_at_once_each_gets_a_number_and_all_belong_together(
    store: LocalStore, told: Told, signer: keys.PrivateKey, trust: Trust, now: datetime
) -> None:
    for number in range(4):
        told(f"C-{number}")
    start = threading.Barrier(4)

    def one(me: int) -> int:
        start.wait()
        withdraw(store, f"C-{me}", reason="by letter", by="t", now=now)
        return make(store, signer, now=now).number

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(one, range(4)))
    assert max(numbers) == logs.read(store).last
    assert verify(store, trust).problems == ()


def test_a_damaged_log_is_refused_until_it_begins_anew(
    store: LocalStore, told: Told, checkpoint: Make, trust: Trust
) -> None:
    told("C-1")
    checkpoint()
    path = store.root / checkpoint_key(1)
    path.write_bytes(path.read_bytes()[:-2] + b"x\n")
    told("C-2")
    with pytest.raises(UserError, match="checkpoint 1 does not hold what it signs"):
        checkpoint()
    with pytest.raises(UserError, match="checkpoint 1 does not hold what it signs"):
        copy_of(store)
    made = checkpoint(restored="a disk failed")
    assert (made.number, made.objects, made.added) == (2, 2, 2)
    (note,) = verify(store, trust).problems
    assert (note.kind, note.note) == ("restored", True)
    assert note.text.endswith("begins anew: a disk failed")
    told("C-3")
    assert checkpoint().objects == 3
    assert [each.kind for each in verify(store, trust).problems] == ["restored"]


def test_a_copy_has_everything(store: LocalStore, told: Told, checkpoint: Make) -> None:
    assert copy_of(store) is None
    told("C-1")
    checkpoint()
    first = copy_of(store)
    told("C-2")
    checkpoint()
    second = copy_of(store)
    assert first is not None
    assert second is not None
    assert (len(first.leaves), len(second.leaves)) == (1, 2)
    assert knows(store, first)
    store.delete(checkpoint_key(2))
    assert not knows(store, second)
    assert Ledger(store).state("C-2").status == "received"
