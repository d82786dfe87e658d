from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unlearning import forgetting, models, provenance, splits
from unlearning.errors import UserError
from unlearning.steps.pretrain import TrainResult
from unlearning.steps.unlearn import unlearn

Chain = dict[str, Path]


def unlearn_into(chain: Chain, path: Path, **changed: Any) -> TrainResult:
    inputs: dict[str, Any] = {f"{name}_path": chain[name] for name in ("model", "snapshot", "split", "forget")}
    settings = {"method": "gradient_penalty", "overrides": "", "seed": 0, "device": "cpu"}
    return unlearn(**inputs | settings | changed, candidate_path=path)


def other_split(chain: Chain, folder: Path) -> Path:
    """The same parts under another seed, which is another split."""
    splits.save(splits.load(chain["split"]).model_copy(update={"seed": 7}), folder / "split")
    return folder / "split"


@pytest.mark.parametrize(
    ("name", "method", "seed"), [("candidate", "gradient_penalty", 0), ("retrained", "retrain", 1)]
)
def test_provenance_names_parent_and_forget_set(chain: Chain, name: str, method: str, seed: int) -> None:
    made = provenance.load(chain[name])
    assert (made.method, made.seed) == (method, seed)
    assert made.parent == models.digest(chain["model"]) != models.digest(chain[name])
    assert made.forget == forgetting.load(chain["forget"]).digest
    assert made.split == splits.load(chain["split"]).digest


def test_the_same_inputs_give_the_same_weights(chain: Chain, tmp_path: Path) -> None:
    assert unlearn_into(chain, tmp_path / "again").digest == models.digest(chain["candidate"])


@pytest.mark.parametrize("method", ["gradient_penalty_stage2", "finetune"])
def test_every_other_method_runs_too(chain: Chain, tmp_path: Path, method: str) -> None:
    made = unlearn_into(chain, tmp_path / "candidate", method=method)
    assert made.digest == models.digest(tmp_path / "candidate") != models.digest(chain["model"])
    assert provenance.load(tmp_path / "candidate").method == method


def test_overrides_are_recorded_where_the_model_is(chain: Chain, tmp_path: Path) -> None:
    unlearn_into(chain, tmp_path / "candidate", overrides="weight: 0.25")
    made = provenance.load(tmp_path / "candidate")
    assert made.recipe.methods.gradient_penalty.weight == 0.25
    assert made.recipe.methods.gradient_penalty_stage2.weight == 0.1


def test_a_stronger_rung_says_so_and_leaves_the_recipe_as_it_was(chain: Chain, tmp_path: Path) -> None:
    """The next request starts from the first setting again, not from where this one ended."""
    first = provenance.load(chain["candidate"])
    unlearn_into(chain, tmp_path / "candidate", rung="stronger_1")
    made = provenance.load(tmp_path / "candidate")
    assert (first.rung, made.rung, provenance.load(chain["model"]).rung) == ("first", "stronger_1", None)
    assert made.recipe == first.recipe
    assert (first.settings["weight"], first.settings["optimisation"]["epochs"]) == (0.1, 2)
    assert (made.settings["weight"], made.settings["optimisation"]["epochs"]) == (pytest.approx(0.3), 3)
    assert models.digest(tmp_path / "candidate") != models.digest(chain["candidate"])


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"rung": "roof"}, "rung 'roof' is unknown"),
        ({"rung": "retrained"}, "rung retrained is exact retraining: give the method retrain"),
        ({"rung": "stronger_1", "method": "retrain"}, "exact retraining cannot be strengthened"),
        ({"method": "amnesia"}, "method 'amnesia' is unknown"),
        ({"overrides": "strength: 1"}, "strength: Extra inputs"),
        ({"method": "retrain", "overrides": "epochs: 1"}, "has no settings of its own"),
        ({"device": "abacus"}, "device 'abacus'"),
    ],
)
def test_bad_settings_are_refused_and_write_nothing(
    chain: Chain, tmp_path: Path, changed: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        unlearn_into(chain, tmp_path / "candidate", **changed)
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_another_split_is_refused(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the model was trained on split"):
        unlearn_into(chain, tmp_path / "candidate", split_path=other_split(chain, tmp_path))
    assert not (tmp_path / "candidate").exists()


def test_a_forget_set_of_another_split_is_refused(chain: Chain, tmp_path: Path) -> None:
    other = splits.load(other_split(chain, tmp_path))
    forget = forgetting.load(chain["forget"]).model_copy(update={"split": other.digest})
    forgetting.save(forget, tmp_path / "forget")
    with pytest.raises(UserError, match="the forget set was chosen from split"):
        unlearn_into(chain, tmp_path / "candidate", forget_path=tmp_path / "forget")
    assert not (tmp_path / "candidate").exists()
