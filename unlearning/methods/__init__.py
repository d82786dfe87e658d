"""Every unlearning method, by name, and what each is shown.

A method's file is imported when it is first run, so that names and rules can be told without torch.
"""

from __future__ import annotations

from unlearning.methods.base import Method

__all__ = ["METHODS", "Method"]

FORGET, CALIBRATION = "forget", "calibration"

METHODS = {
    method.name: method
    for method in (
        Method("gradient_penalty", "gradient_penalty.stage_1", frozenset({FORGET, CALIBRATION})),
        Method("gradient_penalty_stage2", "gradient_penalty.stage_2", frozenset({FORGET})),
        Method("loss_matching", "loss_matching.loss_matching", frozenset({FORGET, CALIBRATION})),
        Method("gradient_ascent", "gradient_ascent.gradient_ascent", frozenset({FORGET})),
        Method("random_label", "random_label.random_label", frozenset({FORGET})),
        Method("saliency", "saliency.saliency", frozenset({FORGET})),
        Method("alignment_calibration", "alignment_calibration.alignment_calibration", frozenset({FORGET})),
        Method("finetune", "finetune.finetune", frozenset()),
        Method("retrain", "retrain.retrain", frozenset(), inherits=False),
    )
}
