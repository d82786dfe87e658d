"""What references show that were made to forget what they were trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class UnlearnedReferences:
    """The first J references of a set, each without those of the F forgotten records that it was trained on: unlearned
    by the method and settings that the candidate was made with."""

    forget_losses: Array
    """(J, F, Q), one per query."""
    holdout_losses: Array
    """(J, H, Q)."""
    seconds: float
    """Of unlearning and measuring them."""
