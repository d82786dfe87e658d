"""U-LiRA: does the model show a record like models that were made to forget it, or like models that never saw it?
(Hayes et al. 2024, 2403.01218, after LiRA.)

Other attacks look for what is left of training. Unlearning leaves traces of its own, and they need not look like those
of a member: "in" is therefore what references show of a record that they were trained on and then unlearned, by the
candidate's own method and settings, and "out" what references show that were never trained on it. A score above "out"
tells that the record was forgotten, whether the method forgot too little or too much.

A reference unlearns at once all forgotten records that it was trained on, as the candidate did, so that half of the
references know each record from one side and half from the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from unlearning.audit.attacks.base import MembershipScores
from unlearning.audit.attacks.referenced import CommonScale, ReferencedLosses, judged_in_place, on_common_scale

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class UnlearnedLosses:
    """Losses of one model under attack, and of J references before and after they forgot."""

    trained: ReferencedLosses
    """Of the model under attack, and of the references as they were trained."""
    forget: Array
    """(J, F, Q) of the references without what they were trained on of these."""
    holdout: Array
    """(J, H, Q)."""


def u_lira(losses: UnlearnedLosses) -> MembershipScores:
    """Whether the model knows a forgotten record more like references that unlearned it or like references that were
    never trained on it, on a scale that all models share.

    The non-members are those last ones, each put in the model's place and judged by the others, as in `lira_online`.

    Score direction: larger means "like a record that was unlearned".

    Raises:
        ValueError: without one of them, a record has fewer than two references on either side.
    """
    before = losses.trained
    after = replace(before, reference_forget=losses.forget, reference_holdout=losses.holdout)

    def scale(measured: Mask | None) -> CommonScale:
        trained, unlearned = (on_common_scale(each, measured) for each in (before, after))
        shown = np.where(before.trained[..., None], unlearned.reference, trained.reference)
        return replace(trained, reference=shown)

    return judged_in_place(scale, len(before.holdout))
