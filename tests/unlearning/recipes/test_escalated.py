from __future__ import annotations

import math

import pytest

from unlearning import recipes
from unlearning.audit.escalation import ATTEMPTS
from unlearning.audit.policy import MAX_STRONGER
from unlearning.core.errors import UserError
from unlearning.learning.training import OptimisationConfig
from unlearning.methods import METHODS
from unlearning.methods.objective import UnlearningConfig
from unlearning.methods.shrink_and_perturb import ShrinkAndPerturbConfig
from unlearning.methods.ssd import SSDConfig
from unlearning.recipes.escalated import can_be_escalated, escalated, settings_at

RECIPE = recipes.load("digits-simclr")
LEVELS = ATTEMPTS[: MAX_STRONGER + 1]
FITTED = [name for name, method in METHODS.items() if issubclass(method.config, UnlearningConfig)]


@pytest.mark.parametrize("method", FITTED)
# pragma: allowlist nextline secret
def test_a_forgetting_term_weighs_three_times_as_much_and_is_minimised_half_as_long_again(method: str) -> None:
    first = RECIPE.method_config(method)
    assert isinstance(first, UnlearningConfig)
    epochs = first.optimisation.epochs
    for attempt in LEVELS:
        found = settings_at(RECIPE, method, attempt)
        assert isinstance(found, UnlearningConfig)
        assert found.weight == pytest.approx(first.weight * 3 ** LEVELS.index(attempt))
        assert found.optimisation.epochs == epochs
        rest = {"weight": first.weight, "optimisation": first.optimisation}
        assert found.model_copy(update=rest) == first, "nothing else changes"
        epochs = math.ceil(1.5 * epochs)


def test_finetuning_has_only_its_epochs_to_escalate() -> None:
    epochs = [settings_at(RECIPE, "finetune", attempt) for attempt in LEVELS]
    first = RECIPE.methods.finetune
    assert epochs == [first.model_copy(update={"epochs": count * first.epochs}) for count in (1, 2, 4)]


def test_ssd_chooses_more_weights_and_shrinks_them_further() -> None:
    first = RECIPE.methods.ssd
    assert first is not None
    for attempt in LEVELS:
        by = 1.5 ** LEVELS.index(attempt)
        found = settings_at(RECIPE, "ssd", attempt)
        assert isinstance(found, SSDConfig)
        assert (found.alpha, found.dampening) == pytest.approx((first.alpha / by, first.dampening / by))
        rest = {"alpha": first.alpha, "dampening": first.dampening}
        assert found.model_copy(update=rest) == first, "nothing else changes"


def test_shrink_and_perturb_keeps_less_and_adds_what_it_no_longer_keeps() -> None:
    first = RECIPE.methods.shrink_and_perturb
    assert first is not None
    for level, attempt in enumerate(LEVELS):
        found = settings_at(RECIPE, "shrink_and_perturb", attempt)
        assert isinstance(found, ShrinkAndPerturbConfig)
        assert found.keep == pytest.approx(first.keep / 2**level)
        assert found.keep + found.noise == pytest.approx(first.keep + first.noise)
        assert found.optimisation.epochs >= first.optimisation.epochs * 1.5**level
        assert found.optimisation.model_copy(update={"epochs": first.optimisation.epochs}) == first.optimisation


def test_a_control_without_penalty_stays_without() -> None:
    config = RECIPE.methods.gradient_penalty
    assert config is not None
    found = escalated(config.model_copy(update={"weight": 0.0}))
    assert isinstance(found, UnlearningConfig)
    assert found.weight == 0


@pytest.mark.parametrize("method", METHODS)
def test_escalated_settings_are_valid_settings(method: str) -> None:
    if not can_be_escalated(method):
        assert method == "retrain"
        return
    found = settings_at(RECIPE, method, ATTEMPTS[MAX_STRONGER])
    assert METHODS[method].config.model_validate(found.model_dump()) == found != RECIPE.method_config(method)


def test_one_epoch_becomes_more_than_one() -> None:
    shortest = OptimisationConfig(epochs=1)
    assert escalated(shortest) == OptimisationConfig(epochs=2)
    found = escalated(UnlearningConfig(optimisation=shortest, weight=0.5))
    assert found == UnlearningConfig(optimisation=OptimisationConfig(epochs=2), weight=1.5)


def test_exact_retraining_is_done_with_the_settings_of_training_or_not_at_all() -> None:
    assert settings_at(RECIPE, "retrain", "first") == settings_at(RECIPE, "retrain", "retrained") == RECIPE.training
    with pytest.raises(UserError, match="exact retraining cannot be escalated"):
        settings_at(RECIPE, "retrain", "stronger_1")
    with pytest.raises(UserError, match="attempt retrained is exact retraining: give the method retrain"):
        settings_at(RECIPE, "finetune", "retrained")
