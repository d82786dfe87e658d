"""Before and after: what somebody who kept the old version learns from the new one about the members who stay.

Chen et al. 2021 (2005.02205) attack the record that was deleted, with what the model showed of it before and after.
Here it is those who stay: retained members against non-members, by logistic regression on the signals of both versions,
beside the same on the signals of the old version alone. What the old one gave away it has given away, so that only
the difference is unlearning's doing. Differences between the versions' signals need not be given: a linear attack finds
them by itself.

A second model that was trained on the same members is a second look at them, however it was made. Exact retraining
starts afresh, and so tells more than unlearning that stays close to the old version.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unlearning.audit.attacks.base import AuditedSignals
from unlearning.audit.attacks.combined import cross_fitted, matrix
from unlearning.audit.results import TwoVersions
from unlearning.audit.signals import Signals
from unlearning.audit.statistics import auc_difference, auc_interval
from unlearning.core.seeding import derive

Matrix = npt.NDArray[np.float64]

MOST = 5000
"""Records of a group that are attacked; of more, so many are drawn. The standard error of an AUC is then .006 at most,
and the twenty fits take seconds."""


def drawn(count: int, seed: int, purpose: str) -> npt.NDArray[np.intp]:
    """Rows of a group that are attacked, in their order: all, or `MOST` of them."""
    if count <= MOST:
        return np.arange(count)
    return np.sort(np.random.default_rng(derive(seed, purpose)).choice(count, MOST, replace=False))


def two_versions(old: AuditedSignals, new: AuditedSignals, seed: int) -> TwoVersions:
    """Who stays, by both versions and by the old one alone.

    Both are cross-fitted with the same folds: no record is scored by a fit that it was in, and the difference is
    paired. Signals that tell nothing cost a fit some of its AUC, so that a new version without news lies a little
    below 0 (by .001 to .006 in simulations of 200 members and more).

    Args:
        old, new: of the same records in the same order, from the same views.
        seed: of the folds, and of the records that are drawn.

    Returns:
        AUCs with 95 % intervals, and their difference, 0 where the new version tells nothing that the old one had not
        told, with a 90 % interval that allows for the folds' shared fits.
    """
    rows = drawn(len(old.retained["loss"]), seed, "retained members"), drawn(len(old.holdout["loss"]), seed, "holdout")

    def groups(*versions: AuditedSignals) -> tuple[Matrix, Matrix]:
        def side_by_side(group: list[Signals], chosen: npt.NDArray[np.intp]) -> Matrix:
            return np.hstack([matrix(signals)[chosen] for signals in group])

        retained, holdout = [each.retained for each in versions], [each.holdout for each in versions]
        return side_by_side(retained, rows[0]), side_by_side(holdout, rows[1])

    both, alone = (cross_fitted(*given, seed) for given in (groups(old, new), groups(old)))
    return TwoVersions(
        retained=len(rows[0]),
        both=auc_interval(*both.pair, error_factor=both.error_factor),
        old_alone=auc_interval(*alone.pair, error_factor=alone.error_factor),
        difference=auc_difference(both.pair, alone.pair, error_factor=both.error_factor),
    )
