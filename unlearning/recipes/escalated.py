"""What an escalated setting of each method is.

| settings | escalated once |
|---|---|
| of every method with a forgetting term | its weight × 3, epochs × 1.5 rounded up |
| of finetuning, which has none | epochs × 2 |
| of shrink and perturb | κ ÷ 2, and σ larger by what κ lost; epochs × 1.5 rounded up |
| of SSD, which does not train | α and λ ÷ 1.5: more weights are chosen, and shrunk further |
| of exact retraining | there is none: it can only be done again from another seed |
"""

from __future__ import annotations

import math

from unlearning.audit.escalation import RETRAINED, AttemptName, escalation_level
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.learning.training import OptimisationConfig, TrainingConfig
from unlearning.methods.objective import UnlearningConfig
from unlearning.methods.shrink_and_perturb import ShrinkAndPerturbConfig
from unlearning.methods.ssd import SSDConfig
from unlearning.recipes.recipe import MethodsConfig, Recipe

WEIGHT, EPOCHS, EPOCHS_ALONE, DAMPENING, SHRUNK = 3.0, 1.5, 2, 1.5, 2


def can_be_escalated(method: str) -> bool:
    """Whether the method has settings of its own; exact retraining has not."""
    return method in MethodsConfig.model_fields


def escalated(config: Config) -> Config:
    """The settings, escalated once.

    Raises:
        UserError: settings of exact retraining.
    """
    match config:
        case UnlearningConfig(optimisation=optimisation, weight=weight):
            longer = optimisation.model_copy(update={"epochs": math.ceil(EPOCHS * optimisation.epochs)})
            return config.model_copy(update={"optimisation": longer, "weight": WEIGHT * weight})
        case ShrinkAndPerturbConfig(optimisation=optimisation, keep=keep, noise=noise):
            longer = optimisation.model_copy(update={"epochs": math.ceil(EPOCHS * optimisation.epochs)})
            return config.model_copy(
                update={"optimisation": longer, "keep": keep / SHRUNK, "noise": noise + keep - keep / SHRUNK}
            )
        case SSDConfig(alpha=alpha, dampening=dampening):
            return config.model_copy(update={"alpha": alpha / DAMPENING, "dampening": dampening / DAMPENING})
        case OptimisationConfig(epochs=epochs) if not isinstance(config, TrainingConfig):
            return config.model_copy(update={"epochs": EPOCHS_ALONE * epochs})
    raise UserError("exact retraining cannot be escalated: choose the attempt first or retrained")


def settings_at(recipe: Recipe, method: str, attempt: AttemptName) -> Config:
    """The settings that the method has in an attempt.

    Raises:
        UserError: no such method, it cannot be escalated, or the attempt is that of exact retraining and the
            method is not.
    """
    if attempt == RETRAINED and method != "retrain":
        raise UserError(f"attempt {attempt} is exact retraining: give the method retrain instead of {method}")
    config = recipe.method_config(method)
    for _ in range(escalation_level(attempt)):
        config = escalated(config)
    return config
