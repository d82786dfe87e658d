from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
    assert answer.out == "problems: 0; left behind, to be put right by the next batch: 0\n"
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
