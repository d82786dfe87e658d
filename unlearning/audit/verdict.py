"""The decision: equivalent to a model not trained on the records, and still as useful.

| every attack within ± auc_margin | utility lost within its margin | outcome |
|---|---|---|
| yes | yes | `passed` |
| some above for sure, and beyond the margin possible | any | `leaks` |
| some below for sure, and beyond the margin possible | any | `over_forgotten` |
| yes | estimate beyond the margin | `utility_lost` |
| otherwise, or evidence missing | | `inconclusive` |

A candidate whose method diverged is `diverged`, whatever is found of the model that stands in its place.

"Within" is an equivalence test: the whole 90 % interval of the paired difference lies inside the
margin, which is two one-sided tests at 5 % each (Schuirmann 1987). All attacks must pass theirs, so
the chance to pass a model that is beyond the margin for one of them stays 5 % (Berger 1982): no
correction is needed. "For sure" is the other way round, any attack of many is enough, so it asks
for an interval that holds for all attacks together.
"""

from __future__ import annotations

from pydantic import Field

from unlearning.audit.attacks import expected_attacks
from unlearning.audit.policy import Margins
from unlearning.audit.power import detectable_auc
from unlearning.audit.results import (
    UTILITY_REFERENCE,
    Audit,
    Comparison,
    EvaluationReport,
    Interval,
    Outcome,
    Reference,
    UtilityReference,
    Verdict,
)
from unlearning.core.config import checked
from unlearning.core.errors import UserError

FITTED_ON_FORGET = "combined_forget"
"""High whichever way the forget set stands apart, so its sign does not tell which."""

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
    expected = expected_attacks(audit.references)
    compared = {each.attack for each in audit.comparisons if each.reference == audit.compared_with}
    reasons = [f"no audit of the {name} model" for name in REQUIRED_MODELS if name not in audit.models]
    if "retrained" not in audit.models and not audit.references:
        reasons.append("no audit of a retrained model, and no references instead")
    for name, audited in audit.models.items():
        done = {attack.name for attack in audited.attacks}
        reasons += [f"attack {attack} was not run on the {name} model" for attack in expected if attack not in done]
    reasons += [f"attack {name} was not compared" for name in expected if name not in compared]
    reasons += [f"accuracy {name} was not measured" for name in REQUIRED_UTILITY if name not in utility_lost]
    intervals = [*(comparison.difference for comparison in audit.comparisons), *utility_lost.values()]
    if any(interval.level < LEVEL for interval in intervals):
        reasons.append(f"an interval covers less than {LEVEL:.0%}")
    reasons += [
        f"only {audit.records.get(group, 0)} {group} records were audited, at least {min_records} are needed"
        for group in REQUIRED_GROUPS
        if audit.records.get(group, 0) < min_records
    ]
    return reasons


def _within(interval: Interval, margin: float) -> bool:
    return -margin <= interval.low and interval.high <= margin


WHOSE: dict[Reference, str] = {
    "retrained": "the retrained model's",
    "references": "that of models not trained on the records",
}
AGAINST: dict[UtilityReference, str] = {"retrained": "the retrained model", "original": "the original"}
"""Whose accuracy is compared with, in words."""


def _surely(comparison: Comparison) -> Interval:
    """What holds for all attacks together."""
    return comparison.simultaneous or comparison.difference


def _describe(comparison: Comparison) -> str:
    gap = comparison.difference
    return (
        f"{comparison.attack}: AUC {gap.estimate:+.3f} from {WHOSE[comparison.reference]}, "
        f"{gap.level:.0%} interval {gap.low:+.3f} to {gap.high:+.3f}"
    )


def _failed(comparisons: tuple[Comparison, ...], margin: float) -> tuple[Outcome, list[Comparison]] | None:
    """The attacks that fail for sure; all but the one fitted on the forget set tell the direction."""
    outside = [each for each in comparisons if not _within(each.difference, margin)]
    above = [each for each in outside if _surely(each).low > 0]
    below = [each for each in outside if _surely(each).high < 0 and each.attack != FITTED_ON_FORGET]
    leaking = [each for each in above if each.attack != FITTED_ON_FORGET]
    if leaking:
        return "leaks", leaking
    if below:
        return "over_forgotten", below
    if above:
        # Set apart, but not in the members' direction: read the sign off the other attacks.
        others = [each.difference.estimate for each in comparisons if each.attack != FITTED_ON_FORGET]
        return ("leaks" if sum(others) >= 0 else "over_forgotten"), above
    return None


def _limits(audit: Audit) -> tuple[str, ...]:
    """What the audit can and cannot have seen, for whoever reads the verdict."""
    forget, holdout = audit.records.get("forget", 0), audit.records.get("holdout", 0)
    if min(forget, holdout) < 2 or not audit.comparisons:
        return ()
    attacks = len(audit.comparisons)
    smallest = detectable_auc(forget, holdout)
    return (
        f"tested with {attacks} attacks on {forget} forgotten and {holdout} other records; a single attack with "
        f"an AUC below {smallest:.3f} would have been missed more often than one time in five",
        "attacks that were not tried may see more",
    )


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
        limits=_limits(audit),
        comparisons=audit.comparisons,
        cross_check=audit.cross_check,
        utility_lost=utility_lost,
    )


def judge_gaps(comparisons: tuple[Comparison, ...], margin: float) -> tuple[Outcome, list[str]]:
    """What the attacks alone say: `passed`, `leaks`, `over_forgotten` or `inconclusive`, and why.

    Args:
        comparisons: at least one, complete.
        margin: largest AUC difference.
    """
    failed = _failed(comparisons, margin)
    if failed:
        return failed[0], [_describe(comparison) for comparison in failed[1]]
    unsure = [
        f"{_describe(each)} is not inside ± {margin}: too few records to tell"
        for each in comparisons
        if not _within(each.difference, margin)
    ]
    if unsure:
        return "inconclusive", unsure
    whose = WHOSE[comparisons[0].reference]
    return "passed", [f"every attack is within ± {margin} AUC of {whose} (90 % intervals)"]


def surely_apart(comparisons: tuple[Comparison, ...], margin: float) -> list[str]:
    """The attacks that fail for sure, on however few records, in words; nothing where none does."""
    failed = _failed(comparisons, margin)
    return [_describe(each) for each in failed[1]] if failed else []


def _judge(audit: Audit, utility_lost: dict[str, Interval], config: VerdictConfig) -> tuple[Outcome, list[str]]:
    if audit.diverged:
        return "diverged", [audit.diverged]
    missing = missing_evidence(audit, utility_lost, config.min_records)
    if missing:
        return "inconclusive", missing
    outcome, reasons = judge_gaps(audit.comparisons, config.auc_margin)
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


def verdict_of(audit: Audit, evaluation: EvaluationReport, auc_margin: float, utility_margin: float) -> Verdict:
    """Judge, after checking that audit and evaluation are about the same models, and compare with the same.

    Raises:
        UserError: they are not, or a margin is out of range.
    """
    config = checked(VerdictConfig, {"auc_margin": auc_margin, "utility_margin": utility_margin})
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
