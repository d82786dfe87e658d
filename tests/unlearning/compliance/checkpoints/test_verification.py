"""Every loss is one line that names it; what an office does every day is never one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearning.compliance.certificates import keys
from unlearning.compliance.certificates.keyring import Keyring
from unlearning.compliance.checkpoints.document import Document
from unlearning.compliance.checkpoints.making import Made, copy_of, make
from unlearning.compliance.checkpoints.verification import Trust, verify
from unlearning.compliance.ledger import verification as chains
from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests import requests
from unlearning.compliance.requests.intake import add
from unlearning.compliance.retention import tombstones
from unlearning.core.errors import TransitionError, UserError
from unlearning.storage.keys import certificate_key, checkpoint_key, event_key, open_key, request_key, seal_folder
from unlearning.storage.local import LocalStore

Told = Callable[..., State]
Make = Callable[..., Made]
Where = tuple[str, str, int | None]


@pytest.fixture
def office(store: LocalStore, honoured: Callable[[str], None], told: Told, checkpoint: Make) -> LocalStore:
    """A request that is certified and one that was withdrawn, in a checkpoint."""
    honoured("C-1")
    told("C-2", "withdrawn")
    checkpoint()
    return store


def found(store: LocalStore, trust: Trust, copy: Document | None = None) -> list[Where]:
    problems = verify(store, trust, copy=copy).problems
    assert all("\n" not in problem.text for problem in problems)
    return [(problem.kind, problem.request, problem.sequence) for problem in problems]


def last_event_gone(store: LocalStore, request: str, sequence: int) -> None:
    store.delete(event_key(request, sequence))
    for path in (store.root / seal_folder(request)).glob(f"{sequence:08}.*"):
        path.unlink()


def test_a_last_event_that_was_deleted_with_its_seal(office: LocalStore, trust: Trust) -> None:
    last_event_gone(office, "C-2", 2)
    office.create(open_key("C-2"), b"")
    assert list(chains.verify(office)) == []
    assert found(office, trust) == [("lost", "C-2", 2)]
    (problem,) = verify(office, trust).problems
    assert problem.text == "the event is gone, which checkpoint 1 of 2024-06-10 12:00 UTC holds"


def test_a_last_event_that_was_written_anew_with_its_seal(office: LocalStore, trust: Trust, now: datetime) -> None:
    last_event_gone(office, "C-2", 2)
    state = Ledger(office).state("C-2")
    from unlearning.compliance.ledger.events import Rejected

    Ledger(office).append(state, Rejected(reason="forged"), by="x", now=now)
    assert list(chains.verify(office)) == []
    assert found(office, trust) == [("replaced", "C-2", 2)]


def test_all_of_a_request_that_is_gone(office: LocalStore, trust: Trust) -> None:
    for folder in ("ledger/C-2", "seals/C-2"):
        shutil.rmtree(office.root / folder)
    office.delete(request_key("C-2"))
    assert list(chains.verify(office)) == []
    assert found(office, trust) == [("lost", "C-2", 2)]


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (f"tombstones/{0:064x}/C-1", "the tombstone of record 000000000000…"),
        (certificate_key("C-1", 1), "certificate 1"),
    ],
)
def test_tombstones_and_certificates(office: LocalStore, trust: Trust, key: str, what: str) -> None:
    kept = office.read(key)
    (office.root / key).write_bytes(kept + b" ")
    assert found(office, trust) == [("replaced", "C-1", None)]
    office.delete(key)
    (problem,) = verify(office, trust).problems
    assert (problem.kind, problem.request) == ("lost", "C-1")
    assert problem.text.startswith(f"{what} is gone, which checkpoint 1 of")
    office.create(key, kept)
    assert found(office, trust) == []


def test_an_old_backup_laid_over_the_store_is_found_by_a_copy_alone(
    office: LocalStore, told: Told, checkpoint: Make, trust: Trust, tmp_path: Path, now: datetime
) -> None:
    shutil.copytree(office.root, tmp_path / "backup")
    told("C-3", "withdrawn")
    tombstones.add(office, ["f" * 64], request="C-1", at=now)
    checkpoint()
    copy = copy_of(office)
    shutil.rmtree(office.root)
    shutil.copytree(tmp_path / "backup", office.root)
    assert found(office, trust) == []
    assert found(office, trust, copy) == [("rolled_back", "", None), ("lost", "C-3", 2), ("lost", "C-1", None)]
    told("C-4")
    checkpoint()
    kinds = [kind for kind, *_ in found(office, trust, copy)]
    assert kinds == ["rolled_back", "lost", "lost"]
    assert "the store has another" in verify(office, trust, copy=copy).problems[0].text


def test_an_old_backup_under_newer_checkpoints_is_found_without_one(
    office: LocalStore, told: Told, checkpoint: Make, trust: Trust, tmp_path: Path
) -> None:
    shutil.copytree(office.root, tmp_path / "backup")
    told("C-3")
    checkpoint()
    shutil.copytree(office.root / "ledger-checkpoints", tmp_path / "kept")
    shutil.rmtree(office.root)
    shutil.copytree(tmp_path / "backup", office.root)
    shutil.copytree(tmp_path / "kept", office.root / "ledger-checkpoints", dirs_exist_ok=True)
    assert found(office, trust) == [("lost", "C-3", 1)]
    checkpoint(restored="from the backup of Monday")
    assert found(office, trust) == [("restored", "", None)]


@pytest.mark.parametrize("harm", ["gone", "leaf", "swapped", "foreign", "renamed"])
def test_checkpoints_that_do_not_belong_together(
    office: LocalStore, told: Told, checkpoint: Make, trust: Trust, harm: str
) -> None:
    told("C-3")
    checkpoint()
    first, second = (office.root / checkpoint_key(number) for number in (1, 2))
    match harm:
        case "gone":
            first.unlink()
        case "leaf":
            first.write_bytes(first.read_bytes().replace(b"certificates", b"certificated"))
        case "swapped":
            data = first.read_bytes()
            first.write_bytes(second.read_bytes())
            second.write_bytes(data)
        case "foreign":
            second.with_name("notes").write_bytes(b"")
        case "renamed":
            second.rename(second.with_name("2.txt"))
    assert any(kind == "bad_checkpoint" for kind, *_ in found(office, trust))


def test_signatures(office: LocalStore, trust: Trust, now: datetime, told: Told) -> None:
    other = keys.new()
    told("C-3")
    make(office, other, now=now)
    (problem,) = verify(office, trust).problems
    assert (problem.kind, problem.damage) == ("bad_checkpoint", True)
    assert "which is not trusted" in problem.text
    looked = verify(office, Trust(Keyring(keys=()), only=False))
    assert (looked.problems, looked.unchecked) == ((), 1)
    looked = verify(office, Trust(trust.keyring, only=False))
    assert (looked.problems, looked.unchecked) == ((), 1)


def test_a_copy_without_everything_is_refused(office: LocalStore, told: Told, checkpoint: Make, trust: Trust) -> None:
    told("C-3")
    checkpoint()
    copy = copy_of(office)
    assert copy is not None
    with pytest.raises(UserError, match="does not hold all that it signs: give a file of `unlearn ledger checkpoint"):
        verify(office, trust, copy=Document(copy.line, copy.envelope, copy.checkpoint, copy.leaves[1:]))


def test_one_request_alone(office: LocalStore, trust: Trust) -> None:
    last_event_gone(office, "C-2", 2)
    office.delete(certificate_key("C-1", 1))
    for request, kinds in (("C-1", ["lost"]), ("C-2", ["lost"]), ("C-9", [])):
        problems = verify(office, trust, request=request).problems
        assert [(problem.kind, problem.request) for problem in problems] == [(kind, request) for kind in kinds]


def test_an_event_whose_seal_alone_is_gone_is_there(office: LocalStore, trust: Trust) -> None:
    shutil.rmtree(office.root / "seals/C-2")
    assert found(office, trust) == []


WORDS = ("resolved", "claimed", "unlearned", "audited", "fulfilled", "certified", "extended", "purged", "released")
ACTS = st.one_of(
    st.tuples(st.just("tell"), st.integers(0, 3), st.sampled_from(WORDS)),
    st.tuples(st.sampled_from(["stone", "certificate", "purge", "checkpoint", "copy", "key"]), st.integers(0, 3)),
)


@settings(max_examples=60, deadline=None)
@given(acts=st.lists(ACTS, max_size=30), hours=st.lists(st.integers(-50, 50), min_size=30, max_size=30))
def test_an_honest_office_never_raises_an_alarm(
    acts: list[tuple[str, int] | tuple[str, int, str]],
    hours: list[int],
    asked: Callable[..., requests.Request],
    details: Callable[..., object],
    now: datetime,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Requests go on and are purged, clocks jump, keys change; the newest and every copy are looked at all the time."""
    store = LocalStore(tmp_path_factory.mktemp("store"))
    ledger, key, copies = Ledger(store), keys.new(), list[Document]()
    for act, jump in zip(acts, hours, strict=False):
        request, at = f"C-{act[1]}", now + timedelta(hours=jump)
        match act:
            case ("tell", _, word):
                try:
                    add(store, [asked(request)], by="t", now=at)
                    ledger.append(ledger.state(request), details(word, until=at + timedelta(hours=1)), by="t", now=at)  # type: ignore[arg-type]
                except (TransitionError, UserError):
                    continue
            case ("stone", number):
                tombstones.add(store, [f"{number:064x}"], request=request, at=at)
            case ("certificate", number):
                store.create(certificate_key(request, number + 1), b"signed")
            case ("purge", _):
                for each in requests.private_keys(store, request):
                    store.purge(each)
            case ("key", _):
                key = keys.new()
            case _:
                make(store, key, now=at)
                copies += [copy] if (copy := copy_of(store)) else []
        for copy in [None, *copies[-2:]]:
            assert verify(store, Trust(Keyring(keys=()), only=False), copy=copy).problems == ()


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    after=st.lists(st.integers(0, 3), max_size=4),
    data=st.data(),
)
def test_whatever_is_deleted_or_overwritten_is_named_whatever_came_after(
    before: list[int],
    after: list[int],
    data: st.DataObject,
    signer: keys.PrivateKey,
    trust: Trust,
    now: datetime,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    for count, number in enumerate(before):
        tombstones.add(store, [f"{count:064x}"], request=f"C-{number}", at=now)
        store.create(certificate_key(f"C-{number}", count + 1), b"signed")
    make(store, signer, now=now)
    copy = copy_of(store)
    assert copy is not None
    victim = data.draw(st.sampled_from(copy.leaves))
    for count, number in enumerate(after, start=len(before)):
        store.create(certificate_key(f"C-{number}", count + 1), b"signed")
        make(store, signer, now=now)
    path = store.root / victim.key
    gone = data.draw(st.booleans())
    path.unlink() if gone else path.write_bytes(b"something else")
    for each in (None, copy):
        (problem,) = verify(store, trust, copy=each).problems
        assert (problem.kind, problem.damage) == ("lost" if gone else "replaced", True)
        assert f" {victim.key.split('/')[1][:12]}" in f" {problem.request} {problem.text}"


@pytest.mark.usefixtures("aws")
def test_s3_is_looked_at_as_a_folder_is(
    office: LocalStore, trust: Trust, signer: keys.PrivateKey, now: datetime
) -> None:
    from unlearning.storage.open import open_store

    remote = open_store("s3://erasure/p")
    for key in office.list(""):
        remote.create(key, office.read(key))
    assert verify(remote, trust).problems == ()
    assert make(remote, signer, now=now).added == 0
    remote.delete(certificate_key("C-1", 1))
    assert [problem.kind for problem in verify(remote, trust).problems] == ["lost"]
