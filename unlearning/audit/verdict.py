"""The decision: equivalent to a model not trained on the records, and still as useful.

| attacks and single records within their margins | utility lost within its margin | outcome |
|---|---|---|
| all | yes | `passed` |
| some above for sure, and beyond the margin possible | any | `leaks` |
| some below for sure, and beyond the margin possible | any | `over_forgotten` |
| all | estimate beyond the margin | `utility_lost` |
| otherwise, or evidence missing | | `inconclusive` |

A candidate whose method diverged is `diverged`, whatever is found of the model that stands in its place.

"Within" is an equivalence test: the whole 90 % interval of the paired difference lies inside the
margin, which is two one-sided tests at 5 % each (Schuirmann 1987). All attacks must pass theirs, so
the chance to pass a model that is beyond the margin for one of them stays 5 % (Berger 1982): no
correction is needed. "For sure" is the other way round, any attack of many is enough, so it asks
for an interval that holds for all attacks together.

Where there are references, single records are judged in the same way, see `single_records`. A share of records is
tested against its margin from above alone (fewer recognised than by chance is no fault), and so is the attack fitted on
the forget set itself, whose AUC has no other end; individual memory is tested from both sides. A share that is known
too little speaks for over-forgetting. Without references nobody can tell one record's memory from its own nature: then
a verdict is about the forget set as a whole, and its limits say so.

What the original had forgotten before is judged in the same way, where it could be audited again (`forgotten_before`),
and the outcome is the worse of both: `leaks`, then `over_forgotten`, then `inconclusive`. Where it is fewer records
than can be judged at all, only what fails for sure counts: otherwise nothing could ever pass again that descends from a
version which once forgot a handful. What could not be audited is told in the limits.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from unlearning.audit.attacks import ASKING_REFERENCES, BESIDE_REFERENCES, expected_attacks
from unlearning.audit.policy import Margins
from unlearning.audit.power import detectable_auc
from unlearning.audit.results import (
    SIGNLESS,
    UTILITY_REFERENCE,
    Audit,
    Comparison,
    EvaluationReport,
    ForgottenBefore,
    Interval,
    Outcome,
    RecordMeasure,
    RecordTest,
    Reference,
    UtilityReference,
    Verdict,
)
from unlearning.core.errors import UserError

Tested = Comparison | RecordTest
"""Whatever is held against a margin."""

REQUIRED_MODELS = ("original", "candidate")
REQUIRED_GROUPS = ("forget", "holdout")
REQUIRED_UTILITY = ("knn", "linear_probe")
LEVEL = 0.90
"""Coverage of the intervals that makes the decision two one-sided tests at 5 %."""


class VerdictConfig(Margins):
    """What decides."""

    min_records: int = Field(20, gt=1, description="Fewest records of a group that can be judged at all.")


def missing_evidence(audit: Audit, utility_lost: dict[str, Interval], min_records: int) -> list[str]:
    """What a verdict would lack, in words; nothing where the evidence is complete."""
    expected = expected_attacks(audit.references, audit.unlearned_references)
    compared = {each.attack for each in audit.comparisons if each.reference == _beside(each.attack, audit)}
    reasons = [f"no audit of the {name} model" for name in REQUIRED_MODELS if name not in audit.models]
    if "retrained" not in audit.models and not audit.references:
        reasons.append("no audit of a retrained model, and no references instead")
    for name, audited in audit.models.items():
        done = {attack.name for attack in audited.attacks}
        reasons += [f"attack {attack} was not run on the {name} model" for attack in expected if attack not in done]
    reasons += [f"attack {name} was not compared" for name in expected if name not in compared]
    reasons += [f"accuracy {name} was not measured" for name in REQUIRED_UTILITY if name not in utility_lost]
    reasons += _untested(audit)
    before = audit.forgotten_before
    again = before.comparisons if before is not None else ()
    if before is not None and before.records:
        done = {each.attack for each in again if each.reference == "retrained"}
        reasons += [f"{_of_before(before)}: attack {name} was not compared" for name in OWN_ATTACKS if name not in done]
    tested: list[Tested] = [*audit.comparisons, *audit.single_records, *again]
    intervals = [*(each.difference for each in tested), *utility_lost.values()]
    if any(interval.level < LEVEL for interval in intervals):
        reasons.append(f"an interval covers less than {LEVEL:.0%}")
    reasons += [
        f"only {audit.records.get(group, 0)} {group} records were audited, at least {min_records} are needed"
        for group in REQUIRED_GROUPS
        if audit.records.get(group, 0) < min_records
    ]
    return reasons


OWN_ATTACKS = expected_attacks(0)
"""What is tried on records that were forgotten before: no reference can be asked about them."""


def _of_before(before: ForgottenBefore) -> str:
    return f"{_count(before.records)} forgotten before"


def _count(records: int) -> str:
    return "1 record" if records == 1 else f"{records} records"


def _beside(attack: str, audit: Audit) -> Reference:
    """What an attack is to be compared with."""
    return "references" if attack in BESIDE_REFERENCES else audit.compared_with


def _untested(audit: Audit) -> list[str]:
    """Measures of single records that references could have told and that are not there."""
    if not audit.references or audit.grouped:
        return []
    tested = {(each.measure, each.attack) for each in audit.single_records}
    wanted = [*(("recognised", attack) for attack in ASKING_REFERENCES), *((name, "") for name in ON_AVERAGES)]
    return [
        f"single records were not tested: {' by '.join(filter(None, each))}" for each in wanted if each not in tested
    ]


ON_AVERAGES: tuple[RecordMeasure, ...] = ("familiar", "unfamiliar", "memory")
"""Measures of single records that belong to no attack."""
RECORD_WORDS: dict[RecordMeasure, str] = {
    "recognised": "recognised by {attack} at 1 % false positives",
    "familiar": "known better than by models not trained on them (p < .05)",
    "unfamiliar": "known less than by models not trained on them (p > .95)",
    "memory": "individual memory",
}
WHOSE: dict[Reference, str] = {
    "retrained": "the retrained model's",
    "references": "that of models not trained on the records",
}
AGAINST: dict[UtilityReference, str] = {"retrained": "the retrained model", "original": "the original"}
"""Whose accuracy is compared with, in words."""


def _surely(tested: Tested) -> Interval:
    """What holds for all attacks and measures together."""
    return tested.simultaneous or tested.difference


def _describe(tested: Tested) -> str:
    gap = tested.difference
    interval = f"{gap.level:.0%} interval {gap.low:+.3f} to {gap.high:+.3f}"
    if isinstance(tested, Comparison):
        return f"{tested.attack}: AUC {gap.estimate:+.3f} from {WHOSE[tested.reference]}, {interval}"
    return (
        f"{RECORD_WORDS[tested.measure].format(attack=tested.attack)}: {tested.shown:.3f}, for models not trained on "
        f"them {tested.expected:.3f}, difference {gap.estimate:+.3f}, {interval}"
    )


def _inside(tested: Tested, margins: Margins) -> bool:
    """Whether the whole interval lies inside the margin."""
    if isinstance(tested, Comparison):
        return tested.within(margins.auc_margin)
    if tested.measure == "memory":
        return tested.difference.within(margins.memory_margin)
    return tested.difference.high <= margins.record_margin


def _direction(tested: Tested) -> int:
    """1 for sure too much is known, −1 too little, 0 where that is not sure or the sign does not tell."""
    found = _surely(tested)
    sign = int(found.low > 0) - int(found.high < 0)
    if isinstance(tested, Comparison):
        return 0 if tested.attack in SIGNLESS else sign
    if tested.measure == "unfamiliar":
        return -1 if sign > 0 else 0
    return sign if tested.measure == "memory" else max(sign, 0)


def _failed(tested: Sequence[Tested], margins: Margins) -> tuple[Outcome, list[Tested]] | None:
    """What fails for sure; all but the attack fitted on the forget set tell the direction."""
    outside = [each for each in tested if not _inside(each, margins)]
    leaking = [each for each in outside if _direction(each) > 0]
    if leaking:
        return "leaks", leaking
    below = [each for each in outside if _direction(each) < 0]
    if below:
        return "over_forgotten", below
    apart = [each for each in outside if isinstance(each, Comparison) and _surely(each).low > 0]
    if apart:
        # Set apart, but not in the members' direction: read the sign off the other attacks.
        attacks = [each for each in tested if isinstance(each, Comparison) and each.attack not in SIGNLESS]
        estimates = sum(each.difference.estimate for each in attacks)
        return ("leaks" if estimates >= 0 else "over_forgotten"), [*apart]
    return None


def _limits(audit: Audit, min_records: int) -> tuple[str, ...]:
    """What the audit can and cannot have seen, for whoever reads the verdict."""
    forget, holdout = audit.records.get("forget", 0), audit.records.get("holdout", 0)
    if min(forget, holdout) < 2 or not audit.comparisons:
        return ()
    attacks = len(audit.comparisons)
    smallest = detectable_auc(forget, holdout)
    return (
        f"tested with {attacks} attacks on {forget} forgotten and {holdout} other records; a single attack with "
        f"an AUC below {smallest:.3f} would have been missed more often than one time in five",
        *_limits_of_single_records(audit),
        *_limits_of_before(audit.forgotten_before, min_records),
        "attacks that were not tried may see more",
    )


def _limits_of_single_records(audit: Audit) -> tuple[str, ...]:
    if audit.single_records:
        return ()
    why = (
        "references have seen others of the group that is forgotten"
        if audit.grouped
        else "no reference models were there to ask"
    )
    return (
        f"single records were not tested, since {why}: a model that gives a few of the records away, and is like any "
        "other on average, would not have been found",
    )


WHY_UNTESTED = {
    "gone": "no image of them is kept any more",
    "not_given": "the audit was not given their images",
    "not_retrained": "there was no retrained model to compare with",
}


def _limits_of_before(before: ForgottenBefore | None, min_records: int) -> tuple[str, ...]:
    """What is not known of records that were forgotten before."""
    said = []
    if before is not None and before.untested != 0:
        who = "records, nobody can say how many," if before.untested is None else _count(before.untested)
        said.append(
            f"not tested again, since {WHY_UNTESTED[before.why]}: {who} forgotten before; if forgetting others has "
            "brought them back, it would not have been found"
        )
    if before is not None and 0 < before.records < min_records:
        said.append(
            f"{_of_before(before)}: too few to be judged by themselves, at least {min_records} are needed; only what "
            "is sure was held against the margins"
        )
    return tuple(said)


def decide(audit: Audit, utility_lost: dict[str, Interval], config: VerdictConfig) -> Verdict:
    """Judge the candidate of an audit.

    Args:
        audit: with `original`, `candidate` and either `retrained` or references.
        utility_lost: per measure, accuracy of `UTILITY_REFERENCE[audit.compared_with]` minus the candidate's.
        config: the margins.

    Returns:
        `passed` only with complete evidence and every test inside its margin.
    """
    outcome, reasons = _judge(audit, utility_lost, config)
    return Verdict(
        outcome=outcome,
        compared_with=audit.compared_with,
        reasons=tuple(reasons),
        auc_margin=config.auc_margin,
        utility_margin=config.utility_margin,
        record_margin=config.record_margin,
        memory_margin=config.memory_margin,
        limits=_limits(audit, config.min_records),
        comparisons=audit.comparisons,
        single_records=audit.single_records,
        cross_check=audit.cross_check,
        forgotten_before=audit.forgotten_before,
        utility_lost=utility_lost,
    )


Judged = tuple[Outcome, list[str]]
"""An outcome, and why."""


def judge_gaps(comparisons: Sequence[Comparison], single_records: Sequence[RecordTest], margins: Margins) -> Judged:
    """What attacks and single records alone say: `passed`, `leaks`, `over_forgotten` or `inconclusive`, and why.

    Args:
        comparisons: at least one, complete.
        single_records: complete, or none where there are no references.
        margins: largest differences.
    """
    tested: list[Tested] = [*comparisons, *single_records]
    failed = _failed(tested, margins)
    if failed:
        return failed[0], [_describe(each) for each in failed[1]]
    unsure = [
        f"{_describe(each)} is not inside {_margin_of(each, margins)}: too few records to tell"
        for each in tested
        if not _inside(each, margins)
    ]
    if unsure:
        return "inconclusive", unsure
    return "passed", _passed(comparisons, single_records, margins)


SEVERITY: tuple[Outcome, ...] = ("passed", "inconclusive", "over_forgotten", "leaks")
"""Of what attacks say, the mildest first."""


def _judge_before(before: ForgottenBefore | None, config: VerdictConfig) -> Judged | None:
    """What the attacks say of records that were forgotten before; None where nothing was, or too little to say."""
    if before is None or not before.comparisons:
        return None
    outcome, reasons = judge_gaps(before.comparisons, (), config)
    if before.records < config.min_records and outcome in ("passed", "inconclusive"):
        return None
    return outcome, [f"{_of_before(before)}: {reason}" for reason in reasons]


def _worse(first: Judged, second: Judged | None) -> Judged:
    """The worse of two outcomes with its reasons; with those of both where they are the same."""
    if second is None or SEVERITY.index(first[0]) > SEVERITY.index(second[0]):
        return first
    return second if SEVERITY.index(first[0]) < SEVERITY.index(second[0]) else (first[0], [*first[1], *second[1]])


def _margin_of(tested: Tested, margins: Margins) -> str:
    if isinstance(tested, Comparison):
        return f"± {margins.auc_margin}"
    return f"± {margins.memory_margin}" if tested.measure == "memory" else f"+{margins.record_margin}"


def _passed(comparisons: Sequence[Comparison], single_records: Sequence[RecordTest], margins: Margins) -> list[str]:
    """What was shown, and what is still seen although it is small."""
    whose = WHOSE[comparisons[0].reference]
    reasons = [f"every attack is within ± {margins.auc_margin} AUC of {whose} (90 % intervals)"]
    if single_records:
        reasons.append(
            f"single records: shares recognised, known too well and too little are at most {margins.record_margin} "
            f"above, individual memory is within ± {margins.memory_margin} of that of models not trained on them "
            "(90 % intervals)"
        )
    tested: list[Tested] = [*comparisons, *single_records]
    small = [each for each in tested if _direction(each) > 0]
    return reasons + [f"a small leak is still seen: {_describe(each)}" for each in small]


def surely_apart(audit: Audit, margins: Margins) -> list[str]:
    """What fails for sure, on however few records, in words; nothing where nothing does."""
    before = audit.forgotten_before
    failed = _failed([*audit.comparisons, *audit.single_records], margins)
    told = [_describe(each) for each in failed[1]] if failed else []
    again = _failed(before.comparisons, margins) if before is not None else None
    if before is not None and again:
        told += [f"{_of_before(before)}: {_describe(each)}" for each in again[1]]
    return told


def _judge(audit: Audit, utility_lost: dict[str, Interval], config: VerdictConfig) -> Judged:
    if audit.diverged:
        return "diverged", [audit.diverged]
    missing = missing_evidence(audit, utility_lost, config.min_records)
    if missing:
        return "inconclusive", missing
    outcome, reasons = _worse(
        judge_gaps(audit.comparisons, audit.single_records, config), _judge_before(audit.forgotten_before, config)
    )
    if outcome != "passed":
        return outcome, reasons
    against = AGAINST[UTILITY_REFERENCE[audit.compared_with]]
    lost = [
        f"{name}: {value.estimate:+.3f} of accuracy lost against {against}, margin {config.utility_margin}"
        for name, value in utility_lost.items()
        if value.estimate > config.utility_margin
    ]
    if lost:
        return "utility_lost", lost
    unsure = [
        f"{name}: up to {value.high:+.3f} of accuracy may be lost against {against}, "
        f"margin {config.utility_margin}: too few test records"
        for name, value in utility_lost.items()
        if not value.high <= config.utility_margin
    ]
    if unsure:
        return "inconclusive", unsure
    return "passed", [
        *reasons,
        f"every accuracy is within {config.utility_margin} of {against}'s (90 % intervals)",
    ]


def verdict_of(audit: Audit, evaluation: EvaluationReport, margins: Margins) -> Verdict:
    """Judge, after checking that audit and evaluation are about the same models, and compare with the same.

    Raises:
        UserError: they are not.
    """
    config = VerdictConfig(**margins.model_dump(include=set(Margins.model_fields)))
    for name, audited in audit.models.items():
        if evaluation.models.get(name) != audited.model:
            raise UserError(f"audit and evaluation disagree on which model is the {name}: run both on the same models")
    against = UTILITY_REFERENCE[audit.compared_with]
    if evaluation.utility_lost and evaluation.lost_against != against:
        raise UserError(
            f"the audit compares with {audit.compared_with}, so accuracy is to be compared with the {against} model's, "
            f"but the evaluation compares it with the {evaluation.lost_against} model's: run both on the same models"
        )
    classifier = evaluation.accuracies["candidate"].classifier if "candidate" in evaluation.accuracies else None
    if classifier is not None and "classifier" not in evaluation.utility_lost:
        raise UserError(f"the evaluation does not compare the classifiers: evaluate candidate and {against} together")
    return decide(audit, evaluation.utility_lost, config)


def complete(audit: Audit, evaluation: EvaluationReport) -> bool:
    """Whether everything was measured that a verdict rests on, on however few records."""
    return not missing_evidence(audit, evaluation.utility_lost, min_records=0)
