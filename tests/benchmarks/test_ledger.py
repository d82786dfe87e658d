from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import ledger
from benchmarks.ledger_filling import EVENTS, clear, fill, fill_in_parts
from benchmarks.ledger_tasks import NOW, TASKS, measure
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.ledger.verification import verify
from unlearning.compliance.requests.open_requests import collect
from unlearning.storage.local import LocalStore


def test_what_is_filled_in_is_a_ledger(tmp_path: Path) -> None:
    fill(tmp_path, range(3), closed=True, now=NOW)
    fill(tmp_path, range(2), closed=False, now=NOW)
    store = LocalStore(tmp_path)
    assert len(store.list("ledger")) == len(store.list("seals")) == 3 * EVENTS + 2
    assert [state.request for state in collect(store, mend=False).states] == ["open-1", "open-0"]
    assert Ledger(store).state("closed-2").closed
    assert [measure(what, tmp_path).found for what in TASKS] == [2, 2, 23, 23]
    # What was asked is there for none of them, which matters for the open ones only.
    assert {(problem.kind, problem.request) for problem in verify(store)} == {
        ("request_missing", f"open-{number}") for number in (0, 1)
    }


@pytest.mark.slow
def test_many_processes_make_the_same_and_delete_it(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    fill_in_parts(folder, range(2), closed=True, now=NOW, jobs=2)
    assert len(LocalStore(folder).list("ledger")) == 2 * EVENTS
    clear(folder, 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_quick_sizes_are_measured_and_nothing_is_left(home: Path, tmp_path: Path) -> None:
    output, folder = tmp_path / "results" / "ledger.json", tmp_path / "files"
    folder.mkdir()
    app = typer.Typer()
    app.command()(ledger.main)
    done = CliRunner().invoke(
        app,
        [
            "--quick",
            "--repeats",
            "1",
            "--jobs",
            "1",
            "--note",
            "A busy machine.",
            "--folder",
            str(folder),
            "--output",
            str(output),
        ],
    )
    assert done.exit_code == 0, done.output
    assert list(folder.iterdir()) == []
    found = json.loads(output.read_text())
    assert found["commit"] == "test"
    assert len(found["rows"]) == len(ledger.QUICK) * len(TASKS)
    for row in found["rows"]:
        events = row["open_requests"] + row["closed_events"]
        assert row["found"] == (row["open_requests"] if "requests" in row["what"] else events)
        assert 0 < row["seconds"] <= row["slowest"]
    assert found["late"]["side_by_side"] < found["late"]["one_at_a_time"]
    page = output.with_suffix(".md").read_text()
    assert "\nA busy machine.\n" in page
    assert "| 20 | 140 | collect open requests | 20 |" in page
