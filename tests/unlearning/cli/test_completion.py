from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unlearning import recipes
from unlearning.cli import completion
from unlearning.learning.paradigms import PARADIGMS
from unlearning.methods import METHODS


def test_names_read_from_files_are_those_of_the_library() -> None:
    assert completion.recipes() == recipes.names()
    assert set(completion.paradigms()) == set(PARADIGMS)
    assert {recipes.default_recipe(name, "byol") for name in completion.datasets()} <= set(recipes.names())
    assert completion.methods() == list(METHODS)


def completed(line: str, home: Path) -> list[str]:
    """What bash would offer, asked as its completion function asks."""
    words = line.split(" ")
    asked = {"_UNLEARN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    program = "import sys; sys.argv = ['unlearn']; from unlearning.cli import main; main()"
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | asked | {"UNLEARNING_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("unlearn run --paradigm s", ["simclr", "supervised"]),
        ("unlearn run --dataset digi", ["digits"]),
        ("unlearn run --recipe digits-m", ["digits-moco"]),
        ("unlearn run --method fine", ["finetune"]),
        ("unlearn requests w", ["withdraw"]),
        ("unlearn do", ["doctor"]),
    ],
)
def test_the_shell_is_offered_what_fits(line: str, offered: list[str], tmp_path: Path) -> None:
    assert completed(line, tmp_path) == offered


def test_runs_are_offered_by_their_folders(tmp_path: Path) -> None:
    for name in ("a-run", "another"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").touch()
    (tmp_path / "store").mkdir()
    assert completed(f"unlearn report {tmp_path}/a-", tmp_path) == [f"{tmp_path}/a-run"]
