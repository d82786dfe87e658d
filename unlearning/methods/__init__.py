"""Every unlearning method, by name."""

from __future__ import annotations

from unlearning.methods.base import Method
from unlearning.methods.finetune import finetune
from unlearning.methods.gradient_penalty import GradientPenaltyConfig, stage_1, stage_2
from unlearning.methods.retrain import retrain
from unlearning.training import OptimisationConfig

__all__ = ["METHODS", "Method"]

METHODS = {
    method.name: method
    for method in (
        Method("gradient_penalty", GradientPenaltyConfig, stage_1, frozenset({"forget", "calibration"})),
        Method("gradient_penalty_stage2", GradientPenaltyConfig, stage_2, frozenset({"forget"})),
        Method("finetune", OptimisationConfig, finetune, frozenset()),
        Method("retrain", OptimisationConfig, retrain, frozenset()),
    )
}
