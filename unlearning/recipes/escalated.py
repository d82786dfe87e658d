"""What a stronger setting of each method is.

| settings | one rung stronger |
|---|---|
| of every method with a forgetting term | its weight × 3, epochs × 1.5 rounded up |
| of finetuning, which has none | epochs × 2 |
| of exact retraining | there is none: it can only be done again from another seed |
"""

from __future__ import annotations

import math

from unlearning.audit.escalation import RETRAINED, Rung, strength
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.learning.training import OptimisationConfig, TrainingConfig
from unlearning.methods.objective import UnlearningConfig
from unlearning.recipes.recipe import MethodsConfig, Recipe

WEIGHT, EPOCHS, EPOCHS_ALONE = 3.0, 1.5, 2


def can_be_strengthened(method: str) -> bool:
    """Whether the method has settings of its own; exact retraining has not."""
    return method in MethodsConfig.model_fields


def strengthened(config: Config) -> Config:
    """One rung stronger.

    Raises:
        UserError: settings of exact retraining.
    """
    match config:
        case UnlearningConfig(optimisation=optimisation, weight=weight):
            longer = optimisation.model_copy(update={"epochs": math.ceil(EPOCHS * optimisation.epochs)})
            return config.model_copy(update={"optimisation": longer, "weight": WEIGHT * weight})
        case OptimisationConfig(epochs=epochs) if not isinstance(config, TrainingConfig):
            return config.model_copy(update={"epochs": EPOCHS_ALONE * epochs})
    raise UserError("exact retraining cannot be strengthened: choose the rung first or retrained")


def settings_at(recipe: Recipe, method: str, rung: Rung) -> Config:
    """The settings that the method has on a rung.

    Raises:
        UserError: no such method, it cannot be strengthened, or the rung is that of exact retraining and the
            method is not.
    """
    if rung == RETRAINED and method != "retrain":
        raise UserError(f"rung {rung} is exact retraining: give the method retrain instead of {method}")
    config = recipe.method_config(method)
    for _ in range(strength(rung)):
        config = strengthened(config)
    return config
