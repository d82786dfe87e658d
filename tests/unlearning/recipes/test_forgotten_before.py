from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unlearning.audit.attacks import expected_attacks
from unlearning.audit.results import ForgottenBefore
from unlearning.core.errors import UserError
from unlearning.data import past_forget_sets, snapshots
from unlearning.data.past_forget_sets import PastForgetSets
from unlearning.learning import models
from unlearning.recipes import run_data
from unlearning.recipes.forgotten_before import PastData, audit_forgotten_before, past_of
from unlearning.recipes.run_data import RunData

Chain = dict[str, Path]
CPU = torch.device("cpu")


@pytest.fixture
def run(chain: Chain) -> RunData:
    return run_data.load(chain["model"], chain["snapshot"], chain["split"], chain["forget"])


def audited(chain: Chain, run: RunData, given: PastData | None, *names: str) -> ForgottenBefore | None:
    paths = {"candidate": chain["candidate"], "retrained": chain["retrained"]}
    loaded = {name: models.load(paths[name], CPU) for name in names}
    return audit_forgotten_before(given, run, loaded, seed=0, device=CPU)


def past(chain: Chain, run: RunData, gone: int | None = 0) -> PastData:
    found = PastForgetSets(split=run.split.digest, ids=run.forget.ids, gone=gone)
    return PastData(found, snapshots.load(chain["snapshot"]))


@pytest.mark.parametrize("gone", [0, 5, None])
def test_what_is_kept_is_attacked_and_what_is_gone_is_counted(chain: Chain, run: RunData, gone: int | None) -> None:
    found = audited(chain, run, past(chain, run, gone), "candidate", "retrained")
    assert found is not None
    assert (found.records, found.untested, found.why) == (len(run.forget.ids), gone, "gone")
    assert tuple(each.attack for each in found.comparisons) == expected_attacks(0)


@pytest.mark.parametrize("gone", [5, None])
def test_what_is_gone_altogether_is_counted_alone(chain: Chain, run: RunData, gone: int | None) -> None:
    given = PastData(PastForgetSets(split=run.split.digest, ids=(), gone=gone), None)
    found = audited(chain, run, given, "candidate", "retrained")
    assert found == ForgottenBefore(records=0, untested=gone)


def test_without_a_retrained_model_nothing_can_be_compared(chain: Chain, run: RunData) -> None:
    found = audited(chain, run, past(chain, run, 5), "candidate")
    assert found == ForgottenBefore(records=0, untested=len(run.forget.ids) + 5, why="not_retrained")
    unknown = audited(chain, run, past(chain, run, None), "candidate")
    assert unknown == ForgottenBefore(records=0, untested=None, why="not_retrained")


def test_an_original_that_has_forgotten_nothing_has_nothing_to_audit_again(chain: Chain, run: RunData) -> None:
    assert audited(chain, run, None, "candidate", "retrained") is None
    nothing = PastData(PastForgetSets(split=run.split.digest, ids=(), gone=0), None)
    assert audited(chain, run, nothing, "candidate", "retrained") is None


def test_one_that_was_unlearned_and_comes_without_what_it_forgot_is_told_of(chain: Chain) -> None:
    """Nobody can say how many records it forgot: it says whom it was made from."""
    unlearned = run_data.load(chain["candidate"], chain["snapshot"], chain["split"], chain["forget"])
    found = audited(chain, unlearned, None, "candidate", "retrained")
    assert found == ForgottenBefore(records=0, untested=None, why="not_given")


def test_what_another_version_forgot_is_refused(run: RunData, tmp_path: Path) -> None:
    assert past_of(None, run) is None
    past_forget_sets.save(PastForgetSets(split="f" * 64, ids=(), gone=0), None, tmp_path / "before")
    with pytest.raises(UserError, match="belongs to split ffffffffffff, not"):
        past_of(tmp_path / "before", run)
