"""Combined attack: logistic regression over all signals, in the two fits that are both needed.

Shokri et al. 2017 (1610.05820) learn the attack from signals of known members and non-members.
Fitted on retained members it finds what still leaks but reads an over-forgotten model as clean;
fitted on the forget set itself it finds anything that sets forgotten records apart. In both, no
record is scored by a model that was fitted on it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.model_selection import StratifiedKFold

from unlearning.audit import logistic
from unlearning.audit.attacks.base import AuditedSignals, MembershipScores
from unlearning.audit.signals import Signals

FOLDS = 10

SHARED_FIT_ERROR = 1.5
"""DeLong's variance takes scores as given, but folds that are fitted on one another's records share
the luck of the draw. On pure noise the standard deviation of the AUC is 1.40 to 1.43 times DeLong's
error, that of the paired difference 1.41 to 1.57 times (60, 200 and 300 forgotten records; a test
repeats the simulation)."""

Matrix = npt.NDArray[np.float64]


def matrix(signals: Signals) -> Matrix:
    """(N, S), one column per signal, in one order for every group."""
    return np.column_stack([signals[name] for name in sorted(signals)])


def _fit_and_score(members: Matrix, non_members: Matrix, scored: Matrix) -> Matrix:
    scores = logistic.fit(members, non_members).scores(scored)
    # Each fold has its own fit and so its own offset; ranks within the fold make folds comparable.
    return np.asarray(rankdata(scores) / len(scores), dtype=np.float64)


def cross_fitted(members: Matrix, others: Matrix, seed: int, *, fit_on: Matrix | None = None) -> MembershipScores:
    """Scores of both groups, by folds; no record is scored by a fit that it was in.

    Args:
        members, others: (M, S) and (N, S) signals.
        seed: of the folds.
        fit_on: (R, S) signals of other members, which take the place of `members` in every fit.

    Returns:
        (M,) and (N,) places within the fold, in (0, 1]; 0 where a group is a single record.
    """
    if min(len(members), len(others)) < 2:
        # With one record left out nobody is left to fit on: scores that tell nothing.
        return MembershipScores(np.zeros(len(members)), np.zeros(len(others)))
    both = np.concatenate([members, others])
    truth = np.concatenate([np.ones(len(members)), np.zeros(len(others))])
    folds = StratifiedKFold(min(FOLDS, len(members), len(others)), shuffle=True, random_state=seed % 2**32)
    scores = np.empty(len(both))
    for fitted, scored in folds.split(both, truth):
        known = both[fitted][truth[fitted] == 1] if fit_on is None else fit_on
        scores[scored] = _fit_and_score(known, both[fitted][truth[fitted] == 0], both[scored])
    factor = SHARED_FIT_ERROR if fit_on is None else 1.0
    return MembershipScores(scores[: len(members)], scores[len(members) :], factor)


def combined_retained(signals: AuditedSignals, seed: int) -> MembershipScores:
    """Fitted on retained members against holdout, scored on forget set and the holdout left out.

    Score direction: larger means "looks like the members the model was trained on".
    """
    return cross_fitted(matrix(signals.forget), matrix(signals.holdout), seed, fit_on=matrix(signals.retained))


def combined_forget(signals: AuditedSignals, seed: int) -> MembershipScores:
    """Cross-fitted on the forget set against holdout: anything that sets forgotten records apart.

    Score direction: larger means "looks like the forget set". An over-forgotten model scores high
    here while it scores low on `combined_retained`.
    """
    return cross_fitted(matrix(signals.forget), matrix(signals.holdout), seed)
