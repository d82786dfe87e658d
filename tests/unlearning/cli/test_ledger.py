from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unlearning.compliance.certificates import keyring, keys
from unlearning.compliance.certificates.keyring import Keyring
from unlearning.core.errors import EXIT_PROBLEMS
from unlearning.storage.local import LocalStore

Cli = Callable[..., Any]


@pytest.fixture
def two(cli: Cli, home: Path) -> LocalStore:
    for number in (1, 2):
        arguments = ("--id", f"C-{number}", "--subject", f"person {number}", "--received", "2024-05-31T09:30:00+02:00")
        assert cli("requests", "add", *arguments, "--by", "desk [1]").code == 0
    assert cli("requests", "withdraw", "C-2", "--reason", "by letter").code == 0
    return LocalStore(home / "store")


@pytest.mark.usefixtures("two")
def test_a_ledger_as_it_was_left(cli: Cli) -> None:
    answer = cli("ledger", "verify")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "checkpoints: none, so nothing that was deleted whole is seen: make one with unlearn ledger checkpoint",
        "problems: 0; left behind, to be put right by the next batch: 0",
    ]
    assert json.loads(cli("ledger", "verify", "--json").out) == []


def test_problems_are_told_and_make_the_exit_code_3(cli: Cli, two: LocalStore) -> None:
    path = two.root / "ledger/C-2/00000002.json"
    path.write_bytes(path.read_bytes().replace(b"letter", b"Letter"))
    two.create("open/C-2", b"")
    for key in two.list("seals/C-1"):
        two.delete(key)
    answer = cli("ledger", "verify")
    assert (answer.code, answer.err) == (EXIT_PROBLEMS, "")
    assert answer.out.splitlines() == [
        "C-1 event 1: unsealed: the event received has no seal",
        "C-2 event 2: changed: the event is not the one that was sealed",
        "checkpoints: none, so nothing that was deleted whole is seen: make one with unlearn ledger checkpoint",
        "problems: 1; left behind, to be put right by the next batch: 1",
    ]
    answer = cli("ledger", "verify", "C-2", "--json")
    assert answer.code == EXIT_PROBLEMS
    (problem,) = json.loads(answer.out)
    assert (problem["kind"], problem["request"], problem["sequence"], problem["damage"]) == ("changed", "C-2", 2, True)


def test_one_request_alone_is_verified(cli: Cli, two: LocalStore) -> None:
    (two.root / "ledger/C-2/00000002.json").unlink()
    assert cli("ledger", "verify", "C-1").code == 0
    assert cli("ledger", "verify", "C-2").code == EXIT_PROBLEMS
    assert "request 'C-9' is not in the store" in cli("ledger", "verify", "C-9").error


@pytest.mark.usefixtures("two")
def test_events_are_shown(cli: Cli) -> None:
    answer = cli("ledger", "show", "C-2")
    assert (answer.code, answer.err) == (0, "")
    assert "desk [1]" in answer.out
    assert '{"reason":"by letter"}' in answer.out
    events = json.loads(cli("ledger", "show", "C-2", "--json").out)
    assert [event["details"]["kind"] for event in events] == ["received", "withdrawn"]
    assert "person" not in answer.out + json.dumps(events)
    assert "'C-9' is not in the ledger" in cli("ledger", "show", "C-9").error
    assert "is no request id" in cli("ledger", "show", "../C-1").error


@pytest.fixture
def signing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The keyring of the environment's key."""
    key = keys.new()
    keys.write_private(key, tmp_path / "signing.pem")
    keyring.save(Keyring(keys=(keyring.trusted(keys.raw_public(key)),)), tmp_path / "keyring.json")
    monkeypatch.setenv(keys.KEY_FILE, str(tmp_path / "signing.pem"))
    return tmp_path / "keyring.json"


def delete_last_event(store: LocalStore) -> None:
    for key in (*store.list("ledger/C-2"), *store.list("seals/C-2")):
        if "/00000002." in key:
            store.delete(key)
    store.create("open/C-2", b"")


def test_a_checkpoint_sees_what_chains_cannot(cli: Cli, two: LocalStore, signing: Path) -> None:
    answer = cli("ledger", "checkpoint")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "checkpoint 1: 2 objects, 2 of them new; ledger-checkpoints/00000001.txt\n"
    assert json.loads(cli("ledger", "checkpoint", "--json").out)["added"] == 0
    answer = cli("ledger", "verify", "--keyring", signing)
    assert answer.code == 0
    assert answer.out.splitlines()[0].startswith("checkpoints: the newest is checkpoint 1 of ")
    assert answer.out.splitlines()[0].endswith(", of 2 objects")
    delete_last_event(two)
    answer = cli("ledger", "verify")
    assert (answer.code, len(answer.out.splitlines())) == (EXIT_PROBLEMS, 3)
    assert answer.out.startswith("C-2 event 2: lost: the event is gone, which checkpoint 1 of ")
    assert cli("ledger", "verify", "C-1").code == 0
    assert [each["kind"] for each in json.loads(cli("ledger", "verify", "C-2", "--json").out)] == ["lost"]
    answer = cli("ledger", "checkpoint")
    assert (answer.code, answer.out.split(":")[0]) == (EXIT_PROBLEMS, "checkpoint 2")
    assert answer.err == (
        "warning: the event of request C-2 of an earlier checkpoint is not in the store: run unlearn ledger verify\n"
    )
    assert cli("ledger", "checkpoint", "--restored", "the last backup").code == 0
    answer = cli("ledger", "verify")
    assert answer.code == 0
    assert "begins anew: the last backup" in answer.out


@pytest.mark.usefixtures("signing")
def test_a_copy_is_evidence(cli: Cli, two: LocalStore, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "checkpoint.txt"
    assert cli("ledger", "checkpoint", "--out", copy).code == 0
    assert cli("ledger", "checkpoint", "--out", copy).code == 0
    assert cli("ledger", "verify", "--checkpoint", copy).code == 0
    delete_last_event(two)
    for key in two.list("ledger-checkpoints"):
        two.delete(key)
    answer = cli("ledger", "verify", "--checkpoint", copy)
    assert answer.code == EXIT_PROBLEMS
    lost, rolled_back = sorted(answer.out.splitlines()[:2])
    assert lost.startswith("C-2 event 2: lost: ")
    assert rolled_back.startswith("the store: rolled_back: the copy is checkpoint 1 of ")
    before = copy.read_bytes()
    assert "which this store does not have: keep it" in cli("ledger", "checkpoint", "--out", copy).error
    assert copy.read_bytes() == before
    assert two.list("ledger-checkpoints") == []


def test_what_is_gone_altogether_is_told_by_its_id(cli: Cli, two: LocalStore, signing: Path) -> None:
    assert cli("ledger", "checkpoint").code == 0
    for folder in ("ledger/C-2", "seals/C-2", "requests/C-2.json"):
        for key in two.list(folder) or [folder]:
            two.delete(key)
    answer = cli("ledger", "verify", "C-2", "--keyring", signing)
    assert answer.code == EXIT_PROBLEMS
    assert answer.out.startswith("C-2 event 2: lost: ")
    assert "is not in the store" in cli("ledger", "verify", "C-9").error


def test_keys_and_files_that_are_wrong(
    cli: Cli, two: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signing: Path
) -> None:
    assert cli("ledger", "checkpoint").code == 0
    monkeypatch.delenv(keys.KEY_FILE)
    assert "no signing key: set" in cli("ledger", "checkpoint").error
    answer = cli("ledger", "verify")
    assert (answer.code, answer.out.splitlines()[0].split("; ")[1]) == (
        0,
        "its signature was not checked: give --keyring",
    )
    keyring.save(Keyring(keys=()), tmp_path / "none.json")
    answer = cli("ledger", "verify", "--keyring", tmp_path / "none.json")
    assert answer.code == EXIT_PROBLEMS
    assert answer.out.startswith("the store: bad_checkpoint: checkpoint 1 of ")
    assert "cannot be read (No such file" in cli("ledger", "verify", "--checkpoint", tmp_path / "nothing").error
    (tmp_path / "notes").write_bytes(b"notes")
    assert (
        "notes: it is not a checkpoint, or damaged" in cli("ledger", "verify", "--checkpoint", tmp_path / "notes").error
    )
    assert signing.exists()
