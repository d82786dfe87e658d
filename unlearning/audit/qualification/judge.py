"""What the simulated sets of one size come to: is the method qualified to forget sets like these?

| outcome | when |
|---|---|
| `qualified` | every attack and every measure of single records on all sets together within its margin (90 % intervals with the sets as clusters), and the mean accuracy lost within its margin, its whole interval too |
| `not_qualified` | one of them beyond for sure, the mean accuracy lost beyond its margin, or a set of which the method made no model |
| `inconclusive` | otherwise: too few sets to tell |
"""  # noqa: E501 - a table

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlearning.audit.audit import Compared
from unlearning.audit.policy import Margins
from unlearning.audit.qualification.pooled import Array, compare_pooled, utility_lost
from unlearning.audit.qualification.shown import Shown
from unlearning.audit.qualification_results import Qualification, QualificationOutcome
from unlearning.audit.reference_baseline import ReferenceBaseline
from unlearning.audit.results import Interval
from unlearning.audit.verdict import judge_gaps


@dataclass(frozen=True)
class ForgottenSet:
    """What became of the model that forgot one set."""

    shown: Shown | None
    """None where the method made no model."""
    lost: dict[str, Array]
    """Of each test record, see `pooled.utility_lost`; nothing where the method made no model."""
    seconds: float
    """Of unlearning."""
    diverged: str = ""


def judge(
    sets: Sequence[ForgottenSet],
    pool: ReferenceBaseline,
    *,
    method: str,
    settings: dict[str, Any],
    seed: int,
    margins: Margins,
) -> Qualification:
    """Audit all sets of one size together.

    Args:
        sets: J ≥ 2 of them.
        pool: the original's references, and the rows of the records of all sets, one set after the other.
        method, settings: that made the models.
        seed: of the draw, the forgetting and the audit.
        margins: of the decision.
    """
    manifest = pool.references.manifest
    diverged = [each.diverged for each in sets if each.diverged]
    shown = [each.shown for each in sets if each.shown is not None]
    compared = Compared((), ()) if diverged else compare_pooled(shown, pool, seed)
    lost, worst = ({}, {}) if diverged else utility_lost([each.lost for each in sets])
    if diverged:
        outcome, reasons = _diverged(diverged, len(sets))
    else:
        outcome, reasons = _outcome(compared, lost, margins)
    return Qualification(
        original=manifest.original,
        split=manifest.split,
        method=method,
        settings=settings,
        size=len(pool.rows) // len(sets),
        sets=len(sets),
        seed=seed,
        references=len(pool.references.trained),
        holdout=pool.references.holdout_losses.shape[1],
        **{name: getattr(margins, name) for name in Margins.model_fields},
        outcome=outcome,
        reasons=tuple(reasons),
        comparisons=compared.attacks,
        single_records=compared.single_records,
        utility_lost=lost,
        worst_utility_lost=worst,
        diverged=len(diverged),
        seconds=float(np.mean([each.seconds for each in sets])),
    )


def _diverged(why: Sequence[str], sets: int) -> tuple[QualificationOutcome, list[str]]:
    return "not_qualified", [f"the method made no model of {len(why)} of {sets} sets: {why[0]}"]


def _outcome(compared: Compared, lost: dict[str, Interval], margins: Margins) -> tuple[QualificationOutcome, list[str]]:
    """By attacks and single records of all sets together, then by what was lost."""
    found, reasons = judge_gaps(compared.attacks, compared.single_records, margins)
    if found in ("leaks", "over_forgotten"):
        return "not_qualified", [f"{found}: {each}" for each in reasons]
    margin = margins.utility_margin
    beyond = [
        f"{name}: {value.estimate:+.3f} of accuracy lost on average, margin {margin}"
        for name, value in lost.items()
        if value.estimate > margin
    ]
    if beyond:
        return "not_qualified", beyond
    unsure = [
        f"{name}: up to {value.high:+.3f} of accuracy may be lost on average, margin {margin}: too few sets or test "
        "records"
        for name, value in lost.items()
        if not value.high <= margin
    ]
    if found == "inconclusive" or unsure:
        return "inconclusive", [*(reasons if found == "inconclusive" else ()), *unsure]
    return "qualified", [*reasons, f"every accuracy is within {margin} of the original's on average (90 % intervals)"]
