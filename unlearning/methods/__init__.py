"""Every unlearning method, by name."""

from __future__ import annotations

from unlearning.learning.training import OptimisationConfig
from unlearning.methods.alignment_calibration import AlignmentCalibrationConfig, alignment_calibration
from unlearning.methods.base import Method
from unlearning.methods.finetune import finetune
from unlearning.methods.gradient_ascent import GradientAscentConfig, gradient_ascent
from unlearning.methods.gradient_penalty import GradientPenaltyConfig, stage_1, stage_2
from unlearning.methods.loss_matching import LossMatchingConfig, loss_matching
from unlearning.methods.random_label import RandomLabelConfig, random_label
from unlearning.methods.retrain import retrain
from unlearning.methods.saliency import SaliencyConfig, saliency

__all__ = ["METHODS", "Method"]

FORGET, CALIBRATION = "forget", "calibration"

METHODS = {
    method.name: method
    for method in (
        Method("gradient_penalty", GradientPenaltyConfig, stage_1, frozenset({FORGET, CALIBRATION})),
        Method("gradient_penalty_stage2", GradientPenaltyConfig, stage_2, frozenset({FORGET})),
        Method("loss_matching", LossMatchingConfig, loss_matching, frozenset({FORGET, CALIBRATION})),
        Method("gradient_ascent", GradientAscentConfig, gradient_ascent, frozenset({FORGET})),
        Method("random_label", RandomLabelConfig, random_label, frozenset({FORGET})),
        Method("saliency", SaliencyConfig, saliency, frozenset({FORGET})),
        Method("alignment_calibration", AlignmentCalibrationConfig, alignment_calibration, frozenset({FORGET})),
        Method("finetune", OptimisationConfig, finetune, frozenset()),
        Method("retrain", OptimisationConfig, retrain, frozenset(), inherits=False),
    )
}
