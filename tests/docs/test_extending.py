"""docs/extending.md, followed to the letter in a copy of the package: what it adds works."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest

from tests.docs import pages
from tests.docs.extended import LEAK
from unlearning.audit.signals import SIGNALS

pytestmark = pytest.mark.slow

PAGE = "docs/extending.md"
NAMED = re.compile(r"`(unlearning/[\w/]+\.py)`[^\n]*\Z")
PATIENCE = 300


def applied(source: str, change: str) -> str:
    """A file with a change of the page: lines marked + are new, - go, all others must stand there once."""
    for hunk in re.split(r"^@@\n", change, flags=re.MULTILINE):
        lines = hunk.splitlines()
        assert all(line[:1] in (" ", "+", "-") for line in lines), hunk
        old = "".join(f"{line[1:]}\n" for line in lines if line[0] != "+")
        new = "".join(f"{line[1:]}\n" for line in lines if line[0] != "-")
        assert source.count(old) == 1, f"not there once:\n{old}"
        source = source.replace(old, new)
    return source


def follow(root: Path) -> str:
    """Do what the page says below `root`; returns the settings it shows for a recipe."""
    text, settings = pages.text_of(PAGE), ""
    for found in pages.FENCE.finditer(text):
        language, block = found[3], found[4]
        if language == "yaml":
            settings += block
            continue
        named = NAMED.search(text[: found.start()].rpartition("\n\n")[0].rpartition("\n\n")[2])
        assert named, f"no file is named before:\n{block}"
        path = root / named[1]
        if language == "diff":
            path.write_text(applied(path.read_text(), block))
        else:
            assert not path.exists()
            path.write_text(block)
    return settings


@dataclass(frozen=True)
class Followed:
    """A copy of the package with what the page adds, and what came of it."""

    root: Path
    found: dict[str, Any]

    def python(self, *arguments: str) -> str:
        return python(self.root, *arguments)


def python(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    root = tmp_path_factory.mktemp("extended")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(pages.ROOT / "unlearning", root / "unlearning", ignore=ignored)
    (root / "settings.yaml").write_text(follow(root))
    shutil.copy(pages.ROOT / "tests" / "docs" / "extended.py", root)
    shutil.copy(pages.ROOT / "pyproject.toml", root)
    return Followed(root, json.loads(python(root, "extended.py").splitlines()[-1]))


@pytest.mark.slow
def test_training_steps_of_the_new_paradigm_lower_the_loss(followed: Followed) -> None:
    for seen in followed.found["seeds"]:
        assert seen["after"] < 0.8 * seen["before"]
        assert seen["test"] < math.log(4), "the turns of test pictures are told better than by chance"


def test_the_new_method_runs_and_makes_answers_flatter(followed: Followed) -> None:
    for seen in followed.found["seeds"]:
        assert seen["candidate_sureness"] < seen["original_sureness"]
        assert seen["untouched"]


def test_the_new_method_is_listed(followed: Followed) -> None:
    listed = followed.python("-c", "from unlearning.cli import main; import sys; sys.argv[1:] = ['methods']; main()")
    assert "flat_answers: forget" in listed.splitlines()


def test_a_whole_audit_of_the_new_paradigm_runs_the_new_attack(followed: Followed) -> None:
    assert "mean_rank" in followed.found["audited"]
    assert set(followed.found["audited"]) == set(followed.found["expected"])


def test_without_a_leak_the_new_attack_guesses(followed: Followed) -> None:
    none = followed.found["none"]
    assert abs(none["mean"] - 0.5) < 3 * none["error"]
    assert 0.9 <= none["holds_half"] <= 0.99  # 95 % of 200 draws, within three standard errors


def test_with_a_leak_the_new_attack_sees_it_as_clearly_as_theory_says(followed: Followed) -> None:
    """Ranks are nearly linear in a normal signal: means of independent ones lie further apart by their root."""
    leak = followed.found["leak"]
    expected = NormalDist().cdf(LEAK * math.sqrt(len(SIGNALS)) / math.sqrt(2))
    assert abs(leak["mean"] - expected) < 0.02
    assert leak["mean"] > 0.7
    assert leak["holds_half"] == 0


def test_what_the_page_writes_is_in_style(followed: Followed) -> None:
    config = ["--config", str(followed.root / "pyproject.toml"), "--no-cache"]
    names = sorted(set(re.findall(r"`(unlearning/[\w/]+\.py)`", pages.text_of(PAGE))))
    assert sum(not (pages.ROOT / each).exists() for each in names) == 3
    every = [str(followed.root / each) for each in names]
    python(followed.root, "-m", "ruff", "check", *config, *every)
    python(followed.root, "-m", "ruff", "format", "--check", *config, *every)


def test_a_change_that_does_not_fit_is_caught() -> None:
    assert applied("a\nb\n", " a\n+c\n b\n") == "a\nc\nb\n"
    with pytest.raises(AssertionError, match="not there once"):
        applied("a\nb\n", " x\n+c\n")
