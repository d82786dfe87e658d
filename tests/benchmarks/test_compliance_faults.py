from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compliance_faults import summary, trials
from benchmarks.faults_injection import Flaky
from benchmarks.faults_trials import Extent, Outcome
from unlearning.core.errors import UserError

SIZE = Extent(writes=7, calls=20, seconds=1.0, step_names=("collect", "certify", "purge"))


def test_kills_come_before_and_after_every_write_and_faults_by_turns() -> None:
    found = trials({"writes": 0, "times": 2}, SIZE)
    assert sorted(number for name, number in found if name == "writes") == list(range(14))
    assert [name for name, _ in found[:5]] == ["writes", "times", "writes", "times", "writes"]
    assert len(trials({"writes": 5}, SIZE)) == 5
    assert trials({"steps": 0}, SIZE) == [("steps", 0), ("steps", 1), ("steps", 2)]


def test_what_did_not_survive_is_told() -> None:
    given = {"fault": "f", "what": "", "struck": True, "tries": 1}
    outcomes = [Outcome.model_validate({**given, "number": n, "problems": p}) for n, p in enumerate([[], ["lost"]])]
    (row,) = summary(outcomes)
    assert (row["runs"], row["survived"], row["problems"]) == (2, 1, ["lost"])


def test_a_lost_answer_comes_after_the_effect_and_other_errors_before() -> None:
    fault, done = Flaky(1.0, 0), list[int]()
    for _ in range(50):
        before = len(done)
        with pytest.raises(UserError) as raised:
            fault("create", lambda: done.append(1), writes=True)
        assert (len(done) > before) == ("was lost" in str(raised.value))
    assert 0 < len(done) < 50


@pytest.mark.nightly
def test_batches_that_are_killed_are_survived(tmp_path: Path) -> None:
    """In a process of its own: the bench forks, which one that has run threads must not."""
    output = tmp_path / "faults.json"
    arguments = [
        "--quick",
        "--only",
        "times",
        "--jobs",
        "1",
        "--folder",
        str(tmp_path / "worlds"),
        "--output",
        str(output),
    ]
    command = [sys.executable, "-m", "benchmarks.compliance_faults", *arguments]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(output.read_text())["summary"]
    assert row["survived"] == row["runs"] > 0, row
    assert "| killed at any time |" in output.with_suffix(".md").read_text()
    assert list((tmp_path / "worlds").glob("faults-*")) == [], "worlds are deleted"
