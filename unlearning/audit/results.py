"""What an audit says, as it is written to JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from unlearning.core.config import Checked, Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json

Reference = Literal["retrained", "references"]
"""What the candidate is compared with: the exactly retrained model, or reference models not trained on a record."""

UtilityReference = Literal["retrained", "original"]
"""Whose accuracy the candidate's is compared with."""

UTILITY_REFERENCE: dict[Reference, UtilityReference] = {"retrained": "retrained", "references": "original"}
"""References are trained on half of the members, so that their accuracy would be too easy to reach: where nothing
was retrained it is the original's, which learned from more records than a retrained model would."""

REFERENCES_FILE = "references.json"
"""Manifest in the folder of a set of references."""

Outcome = Literal["passed", "leaks", "over_forgotten", "utility_lost", "diverged", "inconclusive"]


class Interval(Config):
    """An estimate with its confidence interval; `level` is the coverage, such as 0.95."""

    estimate: float
    low: float
    high: float
    level: float = Field(0.95, gt=0, lt=1)

    def within(self, margin: float) -> bool:
        """Whether the whole interval lies inside ± `margin`."""
        return -margin <= self.low and self.high <= margin


class Roc(Config):
    """A receiver operating characteristic: points from (0, 0) to (1, 1), at most 201 of them."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


class Rates(Config):
    """Of an attack that has to answer yes or no: accuracy, precision and recall as Wang & Chen (2405.07317)
    report them, and the rate at very few false alarms."""

    accuracy: float
    """Balanced over both groups; 0.5 tells nothing, the ideal is the retrained model's."""
    precision: Interval | None
    """Share of the records called members that are of the forget set, None where nobody is called one; tells
    nothing at the share of the forget set among all audited records."""
    recall: Interval
    """Share of the forget set that is called a member."""
    tpr_at_01_fpr: Interval
    """At 0.1 % false alarms; ideal about 0.001."""
    resolved: bool
    """Whether there are enough non-members (1,000) for 0.1 % to be more than none at all."""


class AttackResult(Config):
    """One membership-inference attack on one model: forget set against holdout.

    `auc` is 0.5 when the attack cannot tell forgotten records from non-members; above, they still
    look like members; below, they look less like members than non-members do. The ideal is the
    retrained model's value.
    """

    name: str
    black_box: bool = False
    """Whether the encoder's output is all that it needs of the audited model."""
    auc: Interval
    tpr_at_1_fpr: Interval
    """Share of the forget set recognised at a false-positive rate of 1 %; ideal about 0.01."""
    rates: Rates | None = None
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


class PerRecord(Config):
    """The forget set's p-values of "looks like models not trained on it", small where it looks like a member."""

    records: int
    suspicious: Interval
    """Share of records with p < 0.05; ideal 0.05."""
    unfamiliar: Interval
    """Share of records with p > 0.95, less familiar than to models not trained on them; ideal 0.05."""
    pooled: float = Field(ge=0, le=1)
    """Two-sided p-value that forgotten and holdout records have the same p-values; small is not forgotten,
    whichever way."""
    towards_members: bool
    """Whether the forgotten ones are rather the smaller."""


class TwoVersions(Config):
    """What this model and the original tell together of who stays: retained members against holdout, by all signals."""

    retained: int
    """Retained members that were attacked; a sample where there are many."""
    both: Interval
    """AUC with the signals of both models."""
    old_alone: Interval
    """AUC with the original's alone, which somebody who kept it had anyway."""
    difference: Interval
    """The first minus the second, at 90 %; ideal 0, above it the pair gives away more of who stays. Exact retraining
    is above it too: a second model that was trained on the same members is a second look at them."""


class ModelAudit(Config):
    """Every attack on one model, and the signals behind them."""

    model: str
    """SHA-256 of the model's weights file."""
    attacks: tuple[AttackResult, ...]
    retained_auc: Interval
    """AUC of the loss signal for retained members against holdout: how much the model still
    knows the members it should remember. Far below the retrained model's means blurred, not
    forgotten."""
    per_record: PerRecord | None = None
    """By the loss, where there are references."""
    two_versions: TwoVersions | None = None
    """Beside the original; None for the original itself."""
    signals: tuple[SignalHistogram, ...]


FITTED_ON_FORGET = "combined_forget"
SIGNLESS = (FITTED_ON_FORGET, "u_lira")
"""Attacks that are high whichever way the forget set stands apart, so that their sign does not tell which: the first is
fitted on the forget set, the other on what the method makes of records that are forgotten."""


class Comparison(Config):
    """How far one attack's AUC on the candidate is from its AUC on models not trained on the records, paired
    on the same records: 0 is ideal, positive still leaks more, negative forgot too much."""

    attack: str
    reference: Reference = "retrained"
    difference: Interval
    """At 90 %, of this attack alone: inside the margin it is two one-sided tests at 5 %."""
    simultaneous: Interval | None = None
    """At 95 % for all attacks of the audit together, so that the strongest of many is not taken for more than
    it is; None where it was not computed, and `difference` stands in."""

    def within(self, margin: float) -> bool:
        """Whether the difference is shown to lie inside the margin. Where the sign tells nothing, less set apart than
        by chance is no fault: such an AUC has no other end."""
        return self.difference.high <= margin if self.attack in SIGNLESS else self.difference.within(margin)

    @property
    def reach(self) -> float:
        """How far from 0 the difference may be, in the direction that is a fault; 0 is ideal."""
        ends = (self.difference.high,) if self.attack in SIGNLESS else (self.difference.high, -self.difference.low)
        return max(0.0, *ends)


def farthest(comparisons: Sequence[Comparison]) -> Comparison | None:
    """The comparison whose interval comes nearest to the margin, or goes beyond it most; None of none."""
    return max(comparisons, key=lambda each: each.reach, default=None)


RecordMeasure = Literal["recognised", "familiar", "unfamiliar", "memory"]
"""Of single records: true positive rate at 1 % false positives; shares of records known better, and known less, than by
models not trained on them (p-values below .05 and above .95); individual memory (a slope)."""


class RecordTest(Config):
    """One measure of single records on the candidate beside models not trained on them: 0 is ideal, positive is more
    recognised, more familiar, more unfamiliar, or more of what training taught of each record."""

    measure: RecordMeasure
    attack: str = ""
    """Whose true positive rate; empty for the other measures."""
    shown: float
    """By the candidate."""
    expected: float
    """By models not trained on the records: about .01 and .05 for the shares."""
    difference: Interval
    """At 90 %, of this measure alone."""
    simultaneous: Interval | None = None
    """At 95 % for all attacks and measures of the audit together."""


class ForgottenBefore(Config):
    """What the original itself, and the versions that it descends from, had been made to forget before this run."""

    records: int = Field(ge=0)
    """That were audited again."""
    untested: int | None = Field(ge=0)
    """That could not be; None where nobody knows how many there are."""
    why: Literal["gone", "not_given", "not_retrained"] = "gone"
    """Why not: their images are not kept any more, the audit was not given them, or there was no retrained model to
    compare with; references know none of these records, since those of the first original were trained on them."""
    comparisons: tuple[Comparison, ...] = ()
    """Every attack that needs no references, with the retrained model, which was never trained on these records
    either. What holds for all attacks together holds for these alone."""


class Audit(Config):
    """The audit of a candidate beside the original and, where there is one, the retrained model."""

    records: dict[str, int]
    """How many records of each group (forget, holdout, retained) were audited."""
    seed: int
    split: str
    forget: str
    references: int = 0
    """How many reference models the attacks knew."""
    unlearned_references: int = 0
    """How many of them were made to forget the records too, for U-LiRA."""
    unlearned_seconds: float = 0.0
    """What that took."""
    models: dict[str, ModelAudit]
    """`original`, `candidate` and, where there is one, `retrained`."""
    comparisons: tuple[Comparison, ...]
    """With the retrained model where there is one, otherwise with the references."""
    cross_check: tuple[Comparison, ...] = ()
    """With the references, where the retrained model decides."""
    single_records: tuple[RecordTest, ...] = ()
    """Beside the references, whichever decides; none where there are none, or where they have seen others of the class
    or cluster that is forgotten and so cannot say how a model looks that knows nothing of it."""
    grouped: bool = False
    """Whether a whole class or cluster is forgotten."""
    forgotten_before: ForgottenBefore | None = None
    """None where nothing was."""
    diverged: str = ""
    """Why the candidate's method made no model, so that the original stands in its place; empty where it did."""

    @property
    def compared_with(self) -> Reference:
        """What decides: the retrained model wherever there is one."""
        return "references" if self.references and "retrained" not in self.models else "retrained"


class Verdict(Config):
    """The decision and everything it rests on."""

    outcome: Outcome
    compared_with: Reference
    """What the attacks are compared with; accuracy is compared with the retrained model's, or with the
    original's where the references decide."""
    reasons: tuple[str, ...]
    auc_margin: float
    utility_margin: float
    limits: tuple[str, ...] = ()
    """What was tested, and how small a leak would have gone unseen."""
    comparisons: tuple[Comparison, ...]
    cross_check: tuple[Comparison, ...] = ()
    """With the references, where the retrained model decides; they do not change the outcome."""
    single_records: tuple[RecordTest, ...] = ()
    """What is seen of single records; empty where no attack with references could be made."""
    record_margin: float = 0.05
    memory_margin: float = 0.25
    forgotten_before: ForgottenBefore | None = None
    """Whether what was forgotten before still is; None where nothing was."""
    utility_lost: dict[str, Interval]
    """Accuracy of the retrained model, or of the original where the references decide, minus the candidate's,
    per measure; at most the margin."""


def strongest_attack(original: ModelAudit) -> str:
    """Name of the attack with the largest AUC on the original: where the leak was plainest.

    Chosen on the original alone, so that the choice does not favour or harm the candidate.
    """
    return max(original.attacks, key=lambda attack: attack.auc.estimate).name


def auc_metrics(audit: Audit) -> dict[str, float]:
    """AUC of every attack on every model, as KFP's metrics; ideal .5 on what has forgotten."""
    return {
        f"{model} auc {attack.name}": attack.auc.estimate
        for model, audited in audit.models.items()
        for attack in audited.attacks
    }


def roc_points(audit: Audit, model: str) -> tuple[list[float], list[float], list[float]]:
    """ROC of the original's strongest attack on `model`, as KFP draws it: false positive rates,
    true positive rates, and thresholds (evenly spaced: attack scores have no common unit)."""
    name = strongest_attack(audit.models["original"])
    curve = next(attack.roc for attack in audit.models[model].attacks if attack.name == name)
    count = len(curve.false_positive_rate)
    thresholds = [1 - index / max(count - 1, 1) for index in range(count)]
    return list(curve.false_positive_rate), list(curve.true_positive_rate), thresholds


def confusion(audit: Audit, model: str) -> tuple[list[str], list[list[int]]] | None:
    """Answers of the original's strongest attack on `model` at the threshold of its rates, as KFP draws them.

    Returns:
        What records can be, and counts: a row for what they are, a column for what the attack says. None where the
        attack gave no yes or no.
    """
    name = strongest_attack(audit.models["original"])
    rates = next(attack.rates for attack in audit.models[model].attacks if attack.name == name)
    if rates is None:
        return None
    forgotten = audit.records["forget"]
    caught = round(rates.recall.estimate * forgotten)
    false_positives = round(caught / rates.precision.estimate - caught) if rates.precision and caught else 0
    false_alarms = 1 - (2 * rates.accuracy - rates.recall.estimate)
    # Of LiRA the non-members are other models on the forgotten records, and not as many as the holdout.
    non_members = round(false_positives / false_alarms) if false_positives else audit.records["holdout"]
    return ["member", "non-member"], [[caught, forgotten - caught], [false_positives, non_members - false_positives]]


def _read(kind: type[Checked], path: Path, what: str) -> Checked:
    try:
        return kind.model_validate(read_json(path, what))
    except ValidationError as error:
        raise UserError(f"{what} {path} is not valid: {error.errors()[0]['msg']}") from None


def load_audit(path: Path) -> Audit:
    """Read an audit.

    Raises:
        UserError: missing or damaged.
    """
    return _read(Audit, path, "audit")


class EvaluationReport(Config):
    """Accuracies per model, and what the candidate lost against another."""

    models: dict[str, str]
    """Model to digest of its weights."""
    accuracies: dict[str, Accuracies]
    utility_lost: dict[str, Interval]
    lost_against: UtilityReference | None = None
    """Whose accuracy the candidate's is compared with; None where there is no candidate."""


def load_evaluation(path: Path) -> EvaluationReport:
    """Read an evaluation.

    Raises:
        UserError: missing or damaged.
    """
    return _read(EvaluationReport, path, "evaluation")


class Accuracies(Config):
    """Shares of correctly classified records; 1 is perfect, 1 / number of classes is chance."""

    knn: Interval
    """Test records by weighted kNN on backbone features, gallery of retained members."""
    linear_probe: Interval
    """Test records by logistic regression on backbone features of retained members."""
    classifier: Interval | None = None
    """Test records by the model's own classifier; None for contrastive models."""
    forget_knn: Interval | None = None
    """Records of the forget set by the same weighted kNN; the ideal is the retrained value, unknown where nothing
    was retrained. None before anything is forgotten."""


def load_verdict(path: Path) -> Verdict:
    """Read a verdict.

    Raises:
        UserError: missing or damaged.
    """
    return _read(Verdict, path, "verdict")
