from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from unlearning.core.errors import TrainingDivergedError, UserError
from unlearning.data import forget_set, splits
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.recipes.provenance import UnlearnResult
from unlearning.steps.retrain_or_none import REFERENCE_OFFSET
from unlearning.steps.unlearn import RETRAINED_OFFSET, of_attempt, unlearn

Chain = dict[str, Path]
LAST_STEP = "{optimisation: {epochs: 1, batch_size: 1000, learning_rate: 1.0e39}}"
"""One step, whose loss is still finite."""


def unlearn_into(chain: Chain, path: Path, **changed: Any) -> UnlearnResult:
    inputs: dict[str, Any] = {f"{name}_path": chain[name] for name in ("model", "snapshot", "split", "forget")}
    settings = {"method": "gradient_matching", "overrides": "", "seed": 0, "device": "cpu"}
    return unlearn(**inputs | settings | changed, candidate_path=path)


def other_split(chain: Chain, folder: Path) -> Path:
    """The same parts under another seed, which is another split."""
    splits.save(splits.load(chain["split"]).model_copy(update={"seed": 7}), folder / "split")
    return folder / "split"


def test_an_attempt_uses_what_was_asked_for_unless_it_is_exact_retraining() -> None:
    for attempt in ("first", "stronger_1", "stronger_2"):
        assert of_attempt(attempt, "finetune", "{}", 7) == ("finetune", "{}", 7)
    assert of_attempt("retrained", "finetune", "{}", 7) == ("retrain", "", 7 + RETRAINED_OFFSET)


def test_what_is_compared_with_is_never_what_may_be_promoted() -> None:
    """No two of the seeds of one run are the same, whatever seed it was given."""
    assert len({0, RETRAINED_OFFSET, REFERENCE_OFFSET}) == 3


@pytest.mark.parametrize(
    ("name", "method", "seed"), [("candidate", "gradient_matching", 0), ("retrained", "retrain", 1)]
)
def test_provenance_names_parent_and_forget_set(chain: Chain, name: str, method: str, seed: int) -> None:
    made = provenance.load(chain[name])
    assert (made.method, made.seed) == (method, seed)
    assert made.parent == models.digest(chain["model"]) != models.digest(chain[name])
    assert made.forget == forget_set.load(chain["forget"]).digest
    assert made.split == splits.load(chain["split"]).digest


def test_the_same_inputs_give_the_same_weights(chain: Chain, tmp_path: Path) -> None:
    assert unlearn_into(chain, tmp_path / "again").digest == models.digest(chain["candidate"])


@pytest.mark.parametrize("method", ["gradient_matching_stage2", "finetune"])
def test_every_other_method_runs_too(chain: Chain, tmp_path: Path, method: str) -> None:
    made = unlearn_into(chain, tmp_path / "candidate", method=method)
    assert made.digest == models.digest(tmp_path / "candidate") != models.digest(chain["model"])
    assert provenance.load(tmp_path / "candidate").method == method


def test_overrides_are_recorded_where_the_model_is(chain: Chain, tmp_path: Path) -> None:
    unlearn_into(chain, tmp_path / "candidate", overrides="weight: 0.25")
    made = provenance.load(tmp_path / "candidate")
    assert made.recipe.methods.gradient_matching.weight == 0.25
    assert made.recipe.methods.gradient_matching_stage2.weight == 0.1


def test_an_escalated_attempt_says_so_and_leaves_the_recipe_as_it_was(chain: Chain, tmp_path: Path) -> None:
    """The next request starts from the first setting again, not from where this one ended."""
    first = provenance.load(chain["candidate"])
    unlearn_into(chain, tmp_path / "candidate", attempt="stronger_1")
    made = provenance.load(tmp_path / "candidate")
    assert (first.attempt, made.attempt, provenance.load(chain["model"]).attempt) == ("first", "stronger_1", None)
    assert made.recipe == first.recipe
    assert (first.settings["weight"], first.settings["optimisation"]["epochs"]) == (0.1, 2)
    assert (made.settings["weight"], made.settings["optimisation"]["epochs"]) == (pytest.approx(0.3), 3)
    assert models.digest(tmp_path / "candidate") != models.digest(chain["candidate"])


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        ("{optimisation: {learning_rate: 1.0e30}}", "the loss became nan in epoch 1"),
        (LAST_STEP, "a weight is not finite after the last step"),
    ],
)
def test_a_method_that_diverges_is_an_error_or_leaves_the_model_as_it_was(
    chain: Chain, tmp_path: Path, overrides: str, why: str
) -> None:
    with pytest.raises(TrainingDivergedError, match=why):
        unlearn_into(chain, tmp_path / "candidate", overrides=overrides)
    assert list(tmp_path.iterdir()) == []
    kept = unlearn_into(chain, tmp_path / "candidate", overrides=overrides, keep_diverged=True, attempt="first")
    made, before = provenance.load(tmp_path / "candidate"), provenance.load(chain["model"])
    assert kept.digest == models.digest(tmp_path / "candidate") == models.digest(chain["model"]) == made.parent
    assert why in kept.diverged
    assert kept.diverged.startswith("gradient_matching diverged and made no model")
    assert "\n" not in kept.diverged
    assert made.diverged == kept.diverged
    assert (made.method, made.attempt, before.diverged) == ("gradient_matching", "first", "")
    assert made.settings["optimisation"]["learning_rate"] >= 1e30


def test_a_method_that_does_not_diverge_is_not_marked(chain: Chain, tmp_path: Path) -> None:
    kept = unlearn_into(chain, tmp_path / "candidate", keep_diverged=True)
    assert (kept.diverged, kept.digest) == ("", models.digest(chain["candidate"]))
    assert provenance.load(tmp_path / "candidate") == provenance.load(chain["candidate"]).model_copy(
        update={"seconds": kept.seconds}
    )


def test_exact_retraining_that_diverges_is_always_an_error(chain: Chain, tmp_path: Path) -> None:
    """Or the original would be its own reference."""
    shutil.copytree(chain["model"], tmp_path / "model")
    made = provenance.load(chain["model"])
    wild = made.recipe.training.model_copy(update={"learning_rate": 1e30})
    recipe = made.recipe.model_copy(update={"training": wild})
    provenance.save(made.model_copy(update={"recipe": recipe}), tmp_path / "model")
    for attempt in ("first", "retrained"):
        with pytest.raises(TrainingDivergedError, match="retrain: the loss became nan"):
            unlearn_into(
                chain, tmp_path / "candidate", model_path=tmp_path / "model", method="retrain", attempt=attempt,
                keep_diverged=True,
            )  # fmt: skip
    assert not (tmp_path / "candidate").exists()


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"attempt": "roof"}, "attempt 'roof' is unknown"),
        ({"attempt": "retrained"}, "attempt retrained is exact retraining: give the method retrain"),
        ({"attempt": "stronger_1", "method": "retrain"}, "exact retraining cannot be escalated"),
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
    forget = forget_set.load(chain["forget"]).model_copy(update={"split": other.digest})
    forget_set.save(forget, tmp_path / "forget")
    with pytest.raises(UserError, match="the forget set was chosen from split"):
        unlearn_into(chain, tmp_path / "candidate", forget_path=tmp_path / "forget")
    assert not (tmp_path / "candidate").exists()
