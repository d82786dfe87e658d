from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from unlearning.compliance.ledger import events
from unlearning.compliance.ledger.store import Ledger
from unlearning.storage.local import LocalStore

Cli = Callable[..., Any]
RECORD = "ab" * 32
NOW = datetime.now(UTC)


def ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat()


def files_in(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}


@pytest.fixture
def three(cli: Cli, home: Path) -> LocalStore:
    """One request that is overdue, one of this week by record ids, one that is claimed."""
    assert cli("requests", "add", "--id", "C-old", "--subject", "someone", "--received", ago(70)).code == 0
    two = ("--record", RECORD, "--record", "cd" * 32)
    assert cli("requests", "add", "--id", "C-new", *two, "--received", ago(2), "--model", "m").code == 0
    assert cli("requests", "add", "--id", "C-busy", "--subject", "other", "--received", ago(20)).code == 0
    store = LocalStore(home / "store")
    ledger, state = Ledger(store), Ledger(store).state("C-busy")
    state = ledger.append(
        state, events.Resolved(records=1, snapshots=("a" * 64,), models=("m",)), by="test", now=NOW
    )  # fmt: skip
    ledger.append(state, events.Claimed(model="m", batch="b", until=NOW + timedelta(hours=1)), by="test", now=NOW)
    return store


def ids(answer: Any) -> list[str]:
    return [row["id"] for row in json.loads(answer.out)["requests"]]


def test_adding_one_and_adding_it_again(cli: Cli, home: Path) -> None:
    arguments = ("requests", "add", "--id", "C-1", "--subject", "s", "--received", "2024-05-31T09:30:00+02:00")
    answer = cli(*arguments)
    assert (answer.code, answer.out, answer.err) == (0, "C-1: added, due 2024-06-30 23:59 UTC\n", "")
    before = files_in(home)
    assert cli(*arguments).out == "C-1: there already, due 2024-06-30 23:59 UTC\n"
    assert files_in(home) == before
    other = cli("requests", "add", "--id", "C-2", "--subject", "s", "--received", ago(1), "--json")
    assert json.loads(other.out)[0] == {
        "request": "C-2", "created": True, "due": json.loads(other.out)[0]["due"], "possible_duplicates": ["C-1"]
    }  # fmt: skip
    assert "possible duplicate of C-1, C-2" in cli(
        "requests", "add", "--id", "C-3", "--subject", "s", "--received", ago(1)
    ).out  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--id", "a/b", "--subject", "s"), "request: id: String should match"),
        (("--id", "C-1"), "request: give either records or subject"),
        (("--id", "C-1", "--subject", "s", "--record", RECORD), "request: give either records or subject"),
        (("--id", "C-1", "--record", "7"), "request: records.0: String should match"),
        (("--id", "C-1", "--subject", "s", "--received", "today"), "request: received: must be a time such as"),
        (("--id", "C-1", "--subject", "s", "--received", "2999-01-01T00:00Z"), "is in the future"),
        (("--id", "C-1", "--subject", "s", "--by", "a\nb"), "by: must be one line"),
    ],
)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(
    cli: Cli, home: Path, arguments: tuple[str, ...], problem: str
) -> None:
    given = arguments if "--received" in arguments else (*arguments, "--received", ago(1))
    answer = cli("requests", "add", *given)
    assert (answer.code, answer.out) == (2, "")
    assert problem in answer.error
    assert not home.exists()


def test_the_same_id_for_another_request(cli: Cli, home: Path) -> None:
    arguments = ("requests", "add", "--id", "C-1", "--received", "2024-05-31T09:30:00+02:00")
    cli(*arguments, "--subject", "s")
    before = files_in(home)
    answer = cli(*arguments, "--subject", "t")
    assert (answer.code, answer.error) == (
        2, "request 'C-1' is there already with other content: give this one another id"
    )  # fmt: skip
    assert files_in(home) == before


def test_a_file_is_added_as_a_whole_or_not_at_all(cli: Cli, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "asked.json"
    good = [{"id": f"C-{number}", "subject": f"s{number}", "received": ago(number)} for number in range(3)]
    path.write_text(json.dumps([*good, {"id": "C-9", "subject": "s", "received": "soon"}]))
    answer = cli("requests", "import", path)
    assert answer.code == 2
    assert answer.error.startswith(f"request file {path}, request 4: received: must be a time")
    assert not home.exists()
    path.write_text(json.dumps(good))
    assert [line.split(",")[0] for line in cli("requests", "import", path).out.splitlines()] == [
        "C-0: added", "C-1: added", "C-2: added"
    ]  # fmt: skip
    before = files_in(home)
    assert [each["created"] for each in json.loads(cli("requests", "import", path, "--json").out)] == [False] * 3
    path.write_text(json.dumps([{**good[0], "id": "C-new"}, {**good[1], "subject": "t"}]))
    assert "'C-1' is there already with other content" in cli("requests", "import", path).error
    assert files_in(home) == before
    assert "cannot be read (No such file" in cli("requests", "import", tmp_path / "none.json").error
    assert "cannot be read (Is a directory" in cli("requests", "import", tmp_path).error


@pytest.mark.usefixtures("three")
def test_the_list_begins_with_what_is_due_first(cli: Cli) -> None:
    answer = cli("requests", "list")
    assert (answer.code, answer.err) == (0, "")
    lines = [line for line in answer.out.splitlines() if "C-" in line]
    assert [line.split()[1] for line in lines] == ["C-old", "C-busy", "C-new"]
    assert "overdue" in lines[0]
    assert "m: claimed" in lines[1]
    for private in ("someone", RECORD, "other"):
        assert private not in answer.out
    document = json.loads(cli("requests", "list", "--json").out)
    assert document["unusable"] == {}
    assert [row["overdue"] for row in document["requests"]] == [True, False, False]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--overdue",), ["C-old"]),
        (("--status", "received"), ["C-old", "C-new"]),
        (("--status", "claimed", "--status", "received"), ["C-old", "C-busy", "C-new"]),
        (("--status", "withdrawn"), []),
        (("--due-within", "12"), ["C-old", "C-busy"]),
        (("--due-within", "0"), ["C-old"]),
        (("--overdue", "--status", "claimed"), []),
    ],
)
def test_choosing_from_the_list(cli: Cli, arguments: tuple[str, ...], expected: list[str]) -> None:
    assert ids(cli("requests", "list", *arguments, "--json")) == expected


@pytest.mark.usefixtures("three")
def test_a_batch_that_comes_too_late_is_warned_of(cli: Cli) -> None:
    arguments = ("--next-batch", (NOW + timedelta(days=5)).isoformat(), "--batch-hours", str(24 * 10))
    answer = json.loads(cli("requests", "list", *arguments, "--json").out)["requests"]
    assert [row["warning"][:40] for row in answer] == ["overdue", "the next batch cannot meet the deadline:", ""]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--status", "lost"), "status 'lost' is unknown: choose one of received, resolved"),
        (("--due-within", "-1"), "within -1.0 days is not possible"),
        (("--due-within", "nan"), "within nan days is not possible"),
        (("--next-batch", "soon"), "the next batch must be a time such as"),
        (("--next-batch", ago(0), "--batch-hours", "nan"), "a batch cannot take nan hours"),
    ],
)
def test_what_cannot_be_listed(cli: Cli, arguments: tuple[str, ...], problem: str) -> None:
    answer = cli("requests", "list", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert problem in answer.error


def test_closed_requests_are_listed_when_asked_for(cli: Cli, three: LocalStore) -> None:
    assert cli("requests", "withdraw", "C-new", "--reason", "by letter").out.startswith("C-new: withdrawn; withdrawn")
    assert ids(cli("requests", "list", "--json")) == ["C-old", "C-busy"]
    assert ids(cli("requests", "list", "--all", "--json")) == ["C-old", "C-busy", "C-new"]
    assert ids(cli("requests", "list", "--status", "withdrawn", "--json")) == ["C-new"]
    assert three.list("open") == ["open/C-busy", "open/C-old"]


def test_who_it_is_about_is_shown_only_when_asked_for(cli: Cli, three: LocalStore) -> None:
    for arguments in (("C-old",), ("C-new",), ("C-old", "--json"), ("C-new", "--json")):
        shown = cli("requests", "show", *arguments)
        assert shown.code == 0
        assert "someone" not in shown.out
        assert RECORD not in shown.out
    assert "asked_by: 2 record ids" in cli("requests", "show", "C-new").out
    assert "subject: someone" in cli("requests", "show", "C-old", "--private").out
    assert json.loads(cli("requests", "show", "C-new", "--private", "--json").out)["records"] == [RECORD, "cd" * 32]
    three.delete("requests/C-old.json")
    assert json.loads(cli("requests", "show", "C-old", "--private", "--json").out)["content"] == "deleted"
    assert "request 'C-9' is not in the ledger" in cli("requests", "show", "C-9").error


@pytest.mark.usefixtures("three")
def test_deciding(cli: Cli) -> None:
    assert "batch 'b' works on model 'm'" in cli("requests", "withdraw", "C-busy", "--reason", "by letter").error
    assert "the person had to be told" in cli("requests", "extend", "C-old", "--months", "1", "--reason", "many").error
    assert "names the person" in cli("requests", "reject", "C-old", "--reason", "Someone is unknown").error
    extended = json.loads(cli("requests", "extend", "C-new", "--months", "2", "--reason", "many", "--json").out)
    assert extended["extended_months"] == 2
    assert cli("requests", "reject", "C-old", "--reason", "identity not established", "--by", "desk").code == 0
    assert "that is its end" in cli("requests", "withdraw", "C-old", "--reason", "by letter").error


def test_a_damaged_request_is_named_and_the_others_shown(cli: Cli, three: LocalStore) -> None:
    (three.root / "ledger/C-old/00000001.json").write_bytes(b"{}")
    answer = cli("requests", "list")
    assert answer.code == 0
    assert "C-old cannot be used: ledger of request 'C-old' is damaged at event 1" in answer.out
    assert list(json.loads(cli("requests", "list", "--json").out)["unusable"]) == ["C-old"]
