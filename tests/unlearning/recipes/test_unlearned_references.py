from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unlearning.audit.audit import forgotten_of
from unlearning.audit.reference_baseline import ReferenceBaseline
from unlearning.audit.references.signals import load, model_folder
from unlearning.audit.references.unlearned import UnlearnedReferences
from unlearning.core.errors import TrainingDivergedError, UserError
from unlearning.data.records import Records
from unlearning.learning import models
from unlearning.learning.models import Model
from unlearning.methods import METHODS
from unlearning.recipes import provenance, run_data, unlearned_references
from unlearning.recipes.escalated import settings_at
from unlearning.recipes.provenance import Provenance
from unlearning.recipes.run_data import RunData
from unlearning.recipes.unlearned_references import with_unlearned

Chain = dict[str, Path]
Unlearn = Callable[..., ReferenceBaseline]
CPU = torch.device("cpu")


@pytest.fixture
def run(chain: Chain) -> RunData:
    return run_data.load(chain["model"], chain["snapshot"], chain["split"], chain["forget"])


@pytest.fixture
def baseline(chain: Chain, run: RunData) -> ReferenceBaseline:
    found = forgotten_of(chain["references"], models.digest(chain["model"]), run.split, run.forget)
    assert found is not None
    return found


@pytest.fixture
def unlearn(chain: Chain, run: RunData, baseline: ReferenceBaseline) -> Unlearn:
    """Of the chain's candidate, all eight references, unless changed."""

    def made(count: int = 8, path: Path = chain["references"], **changed: Any) -> ReferenceBaseline:
        candidate = provenance.load(chain["candidate"]).model_copy(update=changed)
        return with_unlearned(baseline, count, path, candidate, run, CPU)

    return made


def unlearned(found: ReferenceBaseline) -> UnlearnedReferences:
    assert found.unlearned is not None
    return found.unlearned


def test_references_that_stay_as_they_are_show_what_they_showed(
    unlearn: Unlearn, baseline: ReferenceBaseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very views: a method that does nothing changes nothing."""
    monkeypatch.setattr(unlearned_references, "run_method", lambda method, model, *given, **more: model)
    found, references = unlearned(unlearn()), baseline.references
    np.testing.assert_allclose(found.forget_losses, references.member_losses[:, baseline.rows], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.holdout_losses, references.holdout_losses, rtol=1e-4, atol=1e-6)
    assert found.seconds > 0


def test_each_forgets_what_it_was_trained_on_and_retains_the_rest_of_its_half(
    unlearn: Unlearn, chain: Chain, run: RunData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, Any, dict[str, Any]]] = []

    def spy(method: str, model: Model, paradigm: Any, **given: Any) -> Model:
        seen.append((method, model, given))
        return model

    monkeypatch.setattr(unlearned_references, "run_method", spy)
    unlearn(method="finetune", attempt="stronger_1")
    references, forgotten, members = load(chain["references"]), set(run.forget.ids), run.split.members
    recipe = provenance.load(chain["candidate"]).recipe
    assert len(seen) == 8
    for number, (method, model, given) in enumerate(seen):
        known = [identity for row, identity in enumerate(members) if references.trained[number, row]]
        parts = {
            "forget": tuple(each for each in known if each in forgotten),
            "retain": tuple(each for each in known if each not in forgotten),
            "calibration": run.split.calibration,
        }
        for name, ids in parts.items():
            expected, got = run.records(ids, CPU), given[name]
            assert isinstance(got, Records)
            assert torch.equal(got.images, expected.images), name
            assert torch.equal(got.labels, expected.labels), name
        assert (method, given["config"]) == ("finetune", settings_at(recipe, "finetune", "stronger_1"))
        plain = models.load(chain["references"] / model_folder(number))
        assert all(map(torch.equal, model.state_dict().values(), plain.state_dict().values()))
        assert model.spec.gradient_target  # stage 2 needs it, and references are saved without
    assert len({given["seed"] for *_, given in seen}) == 8


@pytest.mark.parametrize("method", ["gradient_matching", "gradient_matching_stage2", "finetune"])
def test_a_method_changes_what_they_show_the_same_way_every_time(
    unlearn: Unlearn, baseline: ReferenceBaseline, method: str
) -> None:
    first, again = (unlearned(unlearn(method=method)) for _ in range(2))
    assert np.array_equal(first.forget_losses, again.forget_losses)
    assert np.array_equal(first.holdout_losses, again.holdout_losses)
    assert first.forget_losses.shape == baseline.references.member_losses[:, baseline.rows].shape
    assert not np.allclose(first.holdout_losses, baseline.references.holdout_losses, rtol=1e-3)
    other = unlearned(unlearn(method=method, seed=7))
    assert not np.array_equal(first.forget_losses, other.forget_losses)


def test_a_reference_that_was_trained_on_none_of_the_records_stays_as_it_is(
    chain: Chain, run: RunData, baseline: ReferenceBaseline
) -> None:
    outside = (~baseline.references.trained[0]).nonzero()[0][:5]
    few = ReferenceBaseline(baseline.references, outside)
    found = unlearned(with_unlearned(few, 8, chain["references"], provenance.load(chain["candidate"]), run, CPU))
    same = baseline.references.holdout_losses
    np.testing.assert_allclose(found.holdout_losses[0], same[0], rtol=1e-4, atol=1e-6)
    assert not np.allclose(found.holdout_losses[1], same[1], rtol=1e-3)


@pytest.mark.parametrize(
    ("count", "changed"), [(0, {}), (8, {"method": "retrain"}), (8, {"diverged": "the loss became nan"})]
)
def test_nothing_is_unlearned_where_there_is_nothing_to_learn_from_it(
    unlearn: Unlearn, baseline: ReferenceBaseline, count: int, changed: dict[str, str]
) -> None:
    assert unlearn(count, **changed) is baseline


@pytest.mark.parametrize("count", [6, 9, -8])
def test_a_number_that_no_audit_can_use_is_refused(unlearn: Unlearn, count: int) -> None:
    with pytest.raises(UserError, match=f"unlearned_references {count}: give 0 for none, or an even number from 8"):
        unlearn(count)


def test_references_without_weights_are_refused_before_any_work(
    unlearn: Unlearn, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "references"
    shutil.copytree(chain["references"], copied)
    shutil.rmtree(copied / model_folder(7))
    monkeypatch.setattr(unlearned_references, "run_method", lambda *given, **more: pytest.fail("worked"))
    with pytest.raises(UserError, match=r"1 of 8 have no weights: .* unlearn step references"):
        unlearn(path=copied)


def test_a_reference_that_the_method_makes_no_model_of_is_named(
    unlearn: Unlearn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(method: str, model: Model, *given: Any, **more: Any) -> Model:
        raise TrainingDivergedError("the loss became nan")

    monkeypatch.setattr(unlearned_references, "run_method", diverges)
    with pytest.raises(TrainingDivergedError, match=r"reference 0: the loss became nan; .* unlearned_references 0"):
        unlearn()


def test_the_provenance_of_a_candidate_says_all_that_is_needed(chain: Chain) -> None:
    made: Provenance = provenance.load(chain["candidate"])
    assert made.method in METHODS
    assert made.settings == settings_at(made.recipe, made.method, made.attempt or "first").model_dump(mode="json")
