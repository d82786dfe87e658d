"""How the report says what happened, and what a candidate was compared with.

Nothing here is stronger than the verdict, and no sentence names a model that there was not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from unlearning.audit.escalation import Action
from unlearning.audit.results import Outcome, RecordMeasure, RecordTest, Reference, Verdict
from unlearning.reporting.summary import RetainedFate

OUTCOMES: dict[Outcome, str] = {
    "passed": "passed",
    "leaks": "still leaks",
    "over_forgotten": "forgot too much",
    "utility_lost": "lost accuracy",
    "diverged": "diverged",
    "inconclusive": "could not be judged",
}
ACTIONS: dict[Action, str] = {
    "promote": "promoted",
    "accept": "accepted without having passed",
    "stronger": "kept as rejected; an escalated setting was tried",
    "retrain": "kept as rejected; retrained exactly",
    "person": "kept as rejected; left to a person",
}
ANOTHER_FOLLOWS = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Another attempt follows</title>
<p>This attempt was kept as rejected, and another follows: the report stands at the last one.</p></html>
"""
"""The page of an attempt that is not a run's last."""
_WHY: dict[Outcome, str] = {
    "passed": "with the attacks tested it stayed within {auc} AUC of {forgotten}{single}, "
    "and lost no more than {points} of accuracy against {again}",
    "leaks": "forgotten records are easier to recognise than on {forgotten}, beyond the margins",
    "over_forgotten": "forgotten records stand out as less familiar than on {forgotten}, beyond the margins",
    "utility_lost": "it is less accurate than {useful}, beyond the margin of {points}",
    "diverged": "its loss or its weights did not stay finite, so that there is none; what this page shows under "
    "unlearned is the original",
    "inconclusive": "the evidence does not settle whether it is within {auc} AUC of {forgotten} "
    "and within {points} of accuracy of {again}",
}


@dataclass(frozen=True)
class Ideals:
    """Where each measure should be, beside its name in the table."""

    attack: str
    rare: str
    """Of rates at few false alarms; `{}` is that share."""
    balanced: str
    precision: str
    recall: str
    retained: str
    two_versions: str
    forget_knn: str
    accuracy: str


@dataclass(frozen=True)
class Words:
    """What a candidate was compared with."""

    forgotten: str
    """What forgetting should look like."""
    useful: str
    """Whose accuracy it should have."""
    again: str
    """The same, where `forgotten` has just been named."""
    minus: str
    """What is subtracted from the candidate's AUC."""
    axis: str
    """The same on the axis of a figure."""
    spoken: str
    """The same where a figure is read aloud."""
    accuracy: str
    """Whose accuracy the candidate's is subtracted from."""
    decides: str
    """What the table of differences is called after."""
    ideals: Ideals


SINGLE_RECORDS: dict[RecordMeasure, str] = {
    "recognised": "recognised at 1 % false positives",
    "familiar": "known better than new (p < 0.05)",
    "unfamiliar": "known less than new (p > 0.95)",
    "memory": "individual memory (slope)",
}


RETAINED: dict[RetainedFate, str] = {
    "kept": "They are known as they should be.",
    "blurred": "They are known less than that, beyond the margin: blurred, not forgotten.",
    "unsettled": "Too few to tell whether they are known less.",
}


class NamedMeasure(Protocol):
    """A measure of single records, in an audit or a certificate."""

    @property
    def measure(self) -> RecordMeasure:
        """Which."""

    @property
    def attack(self) -> str | None:
        """Whose true positive rate."""


def single_record(test: NamedMeasure) -> str:
    """What a measure of single records is called."""
    return f"{SINGLE_RECORDS[test.measure]}, {test.attack}" if test.attack else SINGLE_RECORDS[test.measure]


def record_margin(test: RecordTest, verdict: Verdict) -> str:
    """What it is held against."""
    return f"±{verdict.memory_margin:g}" if test.measure == "memory" else f"at most +{verdict.record_margin:g}"


def worst_single_record(verdict: Verdict) -> RecordTest | None:
    """The measure of single records that comes nearest to its margin, or goes beyond it most."""

    def reach(test: RecordTest) -> float:
        if test.measure == "memory":
            return max(test.difference.high, -test.difference.low) / verdict.memory_margin
        return test.difference.high / verdict.record_margin

    return max(verdict.single_records, key=reach, default=None)


WORDS: dict[Reference, Words] = {
    "retrained": Words(
        forgotten="an exactly retrained model",
        useful="an exactly retrained model",
        again="that model",
        minus="its AUC on the retrained model",
        axis="AUC minus retrained's AUC (band: margin)",
        spoken="the retrained reference's",
        accuracy="the retrained model",
        decides="the retrained model",
        ideals=Ideals(
            attack="ideal: retrained",
            rare="ideal: retrained, about {}",
            balanced="ideal: retrained",
            precision="ideal: retrained",
            recall="ideal: retrained",
            retained="ideal: retrained",
            two_versions="ideal: 0; retrained: what exact retraining gives away",
            forget_knn="ideal: retrained",
            accuracy="the retrained value or above",
        ),
    ),
    "references": Words(
        forgotten="models not trained on the records",
        useful="the original",
        again="the original",
        minus="what reference models not trained on the records show",
        axis="AUC minus references' AUC (band: margin)",
        spoken="that of references not trained on the records",
        accuracy="the original",
        decides="the references",
        ideals=Ideals(
            attack="ideal: as references show",
            rare="ideal: about {}",
            balanced="ideal: about 0.5",
            precision="tells nothing at the forget set's share of the audited records",
            recall="no ideal is known without a retrained model",
            retained="far below the original: blurred, not forgotten",
            two_versions="ideal: 0",
            forget_knn="no ideal is known without a retrained model",
            accuracy="the original's value or above",
        ),
    ),
}


def why(verdict: Verdict) -> str:
    """What the outcome means, in half a sentence."""
    words = WORDS[verdict.compared_with]
    return _WHY[verdict.outcome].format(
        auc=f"{verdict.auc_margin:g}",
        single=", single records included" if verdict.single_records else "; single records were not tested",
        points=f"{100 * verdict.utility_margin:g} percentage points",
        forgotten=words.forgotten,
        useful=words.useful,
        again=words.again,
    )
