from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unlearning.audit.results import Reference
from unlearning.core.errors import UserError
from unlearning.core.files import write_json
from unlearning.learning import models
from unlearning.learning.retrained import NONE_FILE, retrained_at
from unlearning.learning.training import TrainResult
from unlearning.recipes import provenance
from unlearning.steps.retrain_or_none import retrain_or_none

Chain = dict[str, Path]


def retrain_into(chain: Chain, path: Path, compare_with: Reference, **changed: Path) -> TrainResult | None:
    inputs: dict[str, Any] = {f"{name}_path": chain[name] for name in ("model", "snapshot", "split", "forget")}
    return retrain_or_none(**inputs | changed, compare_with=compare_with, seed=1, device="cpu", retrained_path=path)


def test_the_retrained_model_is_the_methods(chain: Chain, tmp_path: Path) -> None:
    made = retrain_into(chain, tmp_path / "retrained", "retrained")
    assert made is not None
    assert made.digest == models.digest(chain["retrained"]) == models.digest(tmp_path / "retrained")
    assert provenance.load(tmp_path / "retrained").method == "retrain"
    assert retrained_at(tmp_path / "retrained") == tmp_path / "retrained"


def test_where_references_decide_nothing_is_trained(chain: Chain, tmp_path: Path) -> None:
    """Nor is anything read that a training would need."""
    nothing = dict.fromkeys(("model_path", "snapshot_path", "split_path", "forget_path"), tmp_path / "nothing")
    assert retrain_into(chain, tmp_path / "retrained", "references", **nothing) is None
    assert [path.name for path in (tmp_path / "retrained").iterdir()] == [NONE_FILE]
    assert retrained_at(tmp_path / "retrained") is None


def test_a_task_that_is_tried_again_leaves_one_answer(chain: Chain, tmp_path: Path) -> None:
    retrain_into(chain, tmp_path / "retrained", "retrained")
    retrain_into(chain, tmp_path / "retrained", "references")
    assert retrained_at(tmp_path / "retrained") is None
    assert not list(tmp_path.rglob(models.WEIGHTS_FILE))
    retrain_into(chain, tmp_path / "retrained", "retrained")
    assert retrained_at(tmp_path / "retrained") is not None
    assert not list(tmp_path.rglob(NONE_FILE))


def test_no_path_is_no_model() -> None:
    assert retrained_at(None) is None


@pytest.mark.parametrize("content", [{}, [], {"compare_with": "retrained"}, {"compare_with": "references", "more": 1}])
def test_another_word_than_none_is_not_taken_for_it(tmp_path: Path, content: Any) -> None:
    write_json(tmp_path / NONE_FILE, content)
    with pytest.raises(UserError, match=r"none\.json: .*: retrain again") as caught:
        retrained_at(tmp_path)
    assert "\n" not in str(caught.value)
