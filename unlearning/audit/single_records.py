"""What the audit says of single records: a model may be like any other on average and still give a few away.

Three views of the audited model, each beside what models not trained on the records show (the references, one after
another in the model's place, judged by the others), on the same records:

- who is recognised at a false positive rate of 1 % by an attack with references;
- whose p-value lies in either tail, known better or less than by models not trained on the record;
- individual memory: whether records are known as much better as training on them taught, see `individual_memory`.

Each is a difference with 0 as its ideal, one number per record whose mean it is, so that its error is that of a mean
over records and that it can be put beside the attacks in `simultaneous`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from unlearning.audit.attacks import ASKING_REFERENCES, MembershipScores
from unlearning.audit.attacks.referenced import (
    JACKKNIFE,
    CommonScale,
    ReferencedLosses,
    jackknife_error,
    jackknife_parts,
    on_common_scale,
)
from unlearning.audit.individual_memory import individual_memory
from unlearning.audit.recognised import Recognised, recognised, recognised_online
from unlearning.audit.record_p_values import Tails, tails_in_place
from unlearning.audit.reference_baseline import ONLINE, OutOfTraining
from unlearning.audit.references.signals import References
from unlearning.audit.results import Interval, RecordMeasure, RecordTest
from unlearning.audit.simultaneous import Placed
from unlearning.audit.statistics import placed_interval, proportion_interval

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RecordGap:
    """One measure of single records: what the audited model shows beyond what it should."""

    measure: RecordMeasure
    attack: str
    """Whose true positive rate; empty for the other measures."""
    shown: float
    expected: float
    placed: Placed
    """`members`, (F,), have the difference as their mean."""

    @property
    def name(self) -> str:
        """Of its own among all tests of the audit."""
        return f"{self.measure} {self.attack}".strip()

    def tested(self, simultaneous: Interval, tests: int) -> RecordTest:
        """The result.

        Args:
            simultaneous: of this measure, that holds for all together.
            tests: how many are tested together.
        """
        alone = placed_interval(self.placed.members, self.placed.non_members)
        together = simultaneous
        if self.measure != "memory":
            alone = self._of_few(alone, alone.level)
            together = self._of_few(simultaneous, 1 - (1 - simultaneous.level) / tests)
        return RecordTest(
            measure=self.measure,
            attack=self.attack,
            shown=self.shown,
            expected=self.expected,
            difference=alone,
            simultaneous=together,
        )

    def _of_few(self, interval: Interval, level: float) -> Interval:
        """No narrower than what so few records can say of a share (Clopper & Pearson) with confidence `level`: where
        nobody is recognised nothing is spread, and an interval around a mean would be a point."""
        count = len(self.placed.members)
        hits = self.shown * count
        most = proportion_interval(min(count, math.ceil(hits - 1e-9)), count, level)
        least = proportion_interval(math.floor(hits + 1e-9), count, level)
        return interval.model_copy(
            update={
                "low": max(-1.0, min(interval.low, least.low - self.expected)),
                "high": min(1.0, max(interval.high, most.high - self.expected)),
            }
        )


def record_gaps(
    losses: ReferencedLosses,
    scores: Mapping[str, MembershipScores],
    expected: Mapping[str, OutOfTraining],
    between: Mapping[RecordMeasure, float],
) -> tuple[RecordGap, ...]:
    """Every measure of single records.

    Args:
        losses: of the audited model and the references.
        scores: of the audited model, by attack.
        expected: what references show in its place.
        between: see `between_references`.
    """
    return (*_recognised(losses, scores, expected), *_on_averages(losses, between))


def between_references(references: References) -> dict[RecordMeasure, float]:
    """Standard deviation of each measure between models, beyond what their records explain.

    Of all members, since a forget set has too few records to tell models apart from records.
    """
    nobody = np.zeros(references.holdout_losses.shape[:2], dtype=bool)
    every = ReferencedLosses(
        forget=references.member_losses[0],
        holdout=references.holdout_losses[0],
        reference_forget=references.member_losses,
        reference_holdout=references.holdout_losses,
        trained=references.trained,
        left_out=nobody,
        rmia_scale=1.0,
    )
    return {measure: each.between for measure, each in measure_averages(on_common_scale(every, averaged=True)).items()}


def _recognised(
    losses: ReferencedLosses, scores: Mapping[str, MembershipScores], expected: Mapping[str, OutOfTraining]
) -> list[RecordGap]:
    found = []
    for name in ASKING_REFERENCES:
        if name == ONLINE:
            ours, theirs = recognised_online(on_common_scale(losses))
        else:
            ours, theirs = recognised(scores[name]), expected[name].recognised
        found.append(_recognised_more(name, ours, theirs))
    return found


def _recognised_more(attack: str, ours: Recognised, theirs: Recognised) -> RecordGap:
    threshold = ours.threshold - theirs.threshold
    placed = Placed(ours.forget - theirs.forget, threshold if len(threshold) else np.zeros(2))
    return RecordGap("recognised", attack, float(ours.forget.mean()), float(theirs.forget.mean()), placed)


def _on_averages(losses: ReferencedLosses, between: Mapping[RecordMeasure, float]) -> list[RecordGap]:
    tenths = [on_common_scale(losses, each, averaged=True) for each in jackknife_parts(losses.holdout.shape[0])]
    return gaps_of_averages(on_common_scale(losses, averaged=True), tenths, between)


def gaps_of_averages(
    shown: CommonScale, tenths: Sequence[CommonScale], between: Mapping[RecordMeasure, float]
) -> list[RecordGap]:
    """The measures that rest on each record's mean confidence.

    To the error of the records comes that of the holdout, which makes the scale (a jackknife over tenths of it), and
    that of the model: it is one of many that could have been trained.

    Args:
        shown: averaged confidences (Q = 1).
        tenths: the same on the scale of the holdout without each tenth.
        between: see `between_references`; a measure that is not named differs by its records alone.
    """
    parts = [measure_averages(each) for each in tenths]
    count = len(shown.trained)
    found = []
    for measure, each in measure_averages(shown).items():
        scale = jackknife_error([float(part[measure].values.mean()) for part in parts])
        further = math.hypot(scale, between.get(measure, 0.0) * math.sqrt(1 + 1 / count))
        found.append(RecordGap(measure, "", each.shown, each.expected, Placed(each.values, spread_of(further))))
    return found


class MeasuredAverages(NamedTuple):
    """One measure of each record's mean confidence."""

    shown: float
    expected: float
    values: Array
    """(F,) whose mean is the difference."""
    between: float


def spread_of(error: float) -> Array:
    """(`JACKKNIFE`,) values whose mean, 0, has this standard error: as many as the jackknife has parts, since they
    count for how well the error itself is known."""
    return np.resize([-error, error], JACKKNIFE) * math.sqrt(JACKKNIFE - 1)


def measure_averages(shown: CommonScale) -> dict[RecordMeasure, MeasuredAverages]:
    """The measures that rest on averages, from confidences that were averaged (Q = 1)."""
    target, reference = shown.target[..., 0], shown.reference[..., 0]
    better, worse = tails_in_place(target, reference, shown.trained)
    memory = individual_memory(target, reference, shown.trained)
    return {
        "familiar": _of_tails(better),
        "unfamiliar": _of_tails(worse),
        "memory": MeasuredAverages(memory.shown, memory.expected, memory.pseudo_values, memory.between),
    }


def _of_tails(tails: Tails) -> MeasuredAverages:
    values = tails.ours - tails.theirs
    return MeasuredAverages(float(tails.ours.mean()), float(tails.theirs.mean()), values, tails.between)
