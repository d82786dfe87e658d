from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unlearning.cli.lineage_text import label
from unlearning.registry import Version
from unlearning.steps.promote import Evidence, promote, reject
from unlearning.steps.register import register

Chain = dict[str, Path]
Cli = Callable[..., Any]
MODEL = "followed"


@pytest.fixture
def family(chain: Chain) -> None:
    """An original, a candidate rejected under a tight margin, and the same one promoted under a wide one."""
    register(
        model_path=chain["model"],
        split_path=chain["split"],
        evaluation_path=chain["before"],
        model_name=MODEL,
        run_name="first",
    )
    paths = {f"{name}_path": chain[name] for name in ("candidate", "forget", "audit", "evaluation")}
    reject(Evidence(**paths, verdict_path=chain["failed"]), model_name=MODEL, parent="1", run_name="second")
    promote(Evidence(**paths, verdict_path=chain["passed"]), model_name=MODEL, parent="1", run_name="third")


@pytest.mark.usefixtures("family")
def test_every_version_stands_below_the_one_it_was_made_from(cli: Cli) -> None:
    answer = cli("lineage", "show", MODEL)
    assert (answer.code, answer.err) == (0, "")
    name, original, rejected, promoted = answer.out.splitlines()
    assert name.strip() == MODEL
    assert "version 1 [superseded]: original by pretrain, superseded" in original
    assert "version 2: unlearned by gradient_penalty, rejected, verdict " in rejected
    assert "version 3 [champion]: unlearned by gradient_penalty, serving, verdict passed, largest AUC gap " in promoted
    assert "accepted" not in answer.out
    depth = [line.index("version") for line in (original, rejected, promoted)]
    assert depth[0] < depth[1] == depth[2]


@pytest.mark.usefixtures("family")
def test_scripts_get_the_versions_as_json(cli: Cli) -> None:
    answer = cli("lineage", "show", MODEL, "--json")
    versions = json.loads(answer.out)
    assert [version["version"] for version in versions] == ["1", "2", "3"]
    assert [version["tags"]["parent"] for version in versions] == ["none", "1", "1"]
    assert [version["aliases"] for version in versions] == [["superseded"], [], ["champion"]]


def test_an_unknown_model_is_told_in_one_line(cli: Cli, home: Path) -> None:
    answer = cli("lineage", "show", "nobody")
    assert answer.code == 2
    assert "model 'nobody' is not in the registry" in answer.error


def test_what_was_accepted_without_having_passed_and_on_which_rung_is_told() -> None:
    tags = {"kind": "unlearned", "method": "finetune", "status": "serving", "verdict": "inconclusive"}
    tags |= {"rung": "stronger_1", "accepted": "yes"}
    told = label(Version(name="m", version="3", aliases=("champion",), tags=tags, description=""))
    assert told == (
        "version 3 [champion]: unlearned by finetune (stronger setting 1), serving, verdict inconclusive, "
        "accepted all the same"
    )
