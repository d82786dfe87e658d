"""Every unlearning method, by name, and what each is shown.

A method's file is imported when it is first run, so that names and rules can be told without torch.
"""

from __future__ import annotations

from unlearning.core.errors import UserError
from unlearning.methods.base import Method

__all__ = ["FORMER_NAMES", "METHODS", "Method", "check_known"]

FORGET, CALIBRATION = "forget", "calibration"

METHODS = {
    method.name: method
    for method in (
        Method("gradient_matching", "gradient_matching.stage_1", frozenset({FORGET, CALIBRATION})),
        Method("gradient_matching_stage2", "gradient_matching.stage_2", frozenset({FORGET})),
        Method("gradient_penalty", "gradient_penalty.gradient_penalty", frozenset({FORGET, CALIBRATION})),
        Method("loss_matching", "loss_matching.loss_matching", frozenset({FORGET, CALIBRATION})),
        Method("gradient_ascent", "gradient_ascent.gradient_ascent", frozenset({FORGET})),
        Method("npo", "npo.npo", frozenset({FORGET})),
        Method("random_label", "random_label.random_label", frozenset({FORGET})),
        Method("saliency", "saliency.saliency", frozenset({FORGET})),
        Method("alignment_calibration", "alignment_calibration.alignment_calibration", frozenset({FORGET})),
        Method("scrub", "scrub.scrub", frozenset({FORGET})),
        Method("bad_teacher", "bad_teacher.bad_teacher", frozenset({FORGET})),
        Method("ssd", "ssd.ssd", frozenset({FORGET})),
        Method("l1_sparse", "l1_sparse.l1_sparse", frozenset()),
        Method("coun", "coun.coun", frozenset()),
        Method("shrink_and_perturb", "shrink_and_perturb.shrink_and_perturb", frozenset()),
        Method("finetune", "finetune.finetune", frozenset()),
        Method("retrain", "retrain.retrain", frozenset(), inherits=False),
    )
}

FORMER_NAMES = {
    "gradient_penalty": "gradient_matching",
    "gradient_penalty_stage2": "gradient_matching_stage2",
    "interpolated_gradient_penalty": "gradient_penalty",
}
"""What methods were called before, and what they are called now. One of the names is another method's now."""


def check_known(method: str) -> None:
    """There is a method of this name.

    Raises:
        UserError: there is none, or none any more.
    """
    if method in METHODS:
        return
    if method in FORMER_NAMES:
        raise UserError(f"method {method!r} is unknown: it is called {FORMER_NAMES[method]} now")
    raise UserError(f"method {method!r} is unknown: choose one of {', '.join(METHODS)}")
