"""What an audit says, as it is written to JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unlearning.config import Config

Outcome = Literal["passed", "leaks", "over_forgotten", "utility_lost", "inconclusive"]


class Interval(Config):
    """An estimate with its confidence interval; `level` is the coverage, such as 0.95."""

    estimate: float
    low: float
    high: float
    level: float = Field(0.95, gt=0, lt=1)


class Roc(Config):
    """A receiver operating characteristic: points from (0, 0) to (1, 1), at most 201 of them."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


class AttackResult(Config):
    """One membership-inference attack on one model: forget set against holdout.

    `auc` is 0.5 when the attack cannot tell forgotten records from strangers; above, they still
    look like members; below, they look less like members than strangers do. The ideal is the
    retrained model's value.
    """

    name: str
    auc: Interval
    tpr_at_1_fpr: Interval
    """Share of the forget set recognised while 1 % of strangers are mistaken; ideal about 0.01."""
    roc: Roc


class SignalHistogram(Config):
    """Counts of one signal's values per group of records, over shared bins."""

    name: str
    edges: tuple[float, ...]
    forget: tuple[int, ...]
    holdout: tuple[int, ...]
    retained: tuple[int, ...]
    mean_forget: float
    mean_holdout: float
    mean_retained: float


class ModelAudit(Config):
    """Every attack on one model, and the signals behind them."""

    model: str
    """SHA-256 of the model's weights file."""
    attacks: tuple[AttackResult, ...]
    retained_auc: Interval
    """AUC of the loss signal for retained members against holdout: how much the model still
    knows the members it should remember. Far below the retrained model's means blurred, not
    forgotten."""
    signals: tuple[SignalHistogram, ...]


class Comparison(Config):
    """How far one attack's AUC on the candidate is from its AUC on the retrained model, paired on
    the same records: 0 is ideal, positive still leaks more, negative forgot too much."""

    attack: str
    difference: Interval


class Audit(Config):
    """The audit of a candidate beside the original and the retrained reference."""

    records: dict[str, int]
    """How many records of each group (forget, holdout, retained) were audited."""
    seed: int
    split: str
    forget: str
    models: dict[str, ModelAudit]
    """`original`, `candidate` and `retrained`."""
    comparisons: tuple[Comparison, ...]


class Verdict(Config):
    """The decision and everything it rests on."""

    outcome: Outcome
    reasons: tuple[str, ...]
    auc_margin: float
    utility_margin: float
    comparisons: tuple[Comparison, ...]
    utility_lost: dict[str, Interval]
    """Accuracy of the retrained model minus the candidate's, per measure; at most the margin."""


def strongest_attack(original: ModelAudit) -> str:
    """Name of the attack with the largest AUC on the original: where the leak was plainest.

    Chosen on the original alone, so that the choice does not favour or harm the candidate.
    """
    return max(original.attacks, key=lambda attack: attack.auc.estimate).name


def roc_points(audit: Audit, model: str) -> tuple[list[float], list[float], list[float]]:
    """ROC of the original's strongest attack on `model`, as KFP draws it: false positive rates,
    true positive rates, and thresholds (evenly spaced: attack scores have no common unit)."""
    name = strongest_attack(audit.models["original"])
    curve = next(attack.roc for attack in audit.models[model].attacks if attack.name == name)
    count = len(curve.false_positive_rate)
    thresholds = [1 - index / max(count - 1, 1) for index in range(count)]
    return list(curve.false_positive_rate), list(curve.true_positive_rate), thresholds
