"""What a qualification says, as it is written to JSON, and which requests it speaks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import Field

from unlearning.audit.policy import Margins
from unlearning.audit.results import Comparison, Interval, RecordTest, farthest
from unlearning.core.config import Config

QUALIFICATION_FILE = "qualification.json"
"""Logged with a version that serves by qualification."""

QualificationOutcome = Literal["qualified", "not_qualified", "inconclusive"]


class Qualification(Config):
    """How a method with its settings forgot many simulated sets of one size, drawn from an original's members.

    It is about the method on that original, and names no record: sizes, seed and figures over all sets together.
    """

    original: str
    """Digest of the model that forgot every set."""
    split: str
    method: str
    settings: dict[str, Any]
    """Of the method, as they were used."""
    size: int = Field(gt=0)
    """Records of each set."""
    sets: int = Field(gt=0)
    seed: int
    """Of the draw of the sets, and of the forgetting."""
    references: int = Field(gt=0)
    """Reference models that say what each attack should find."""
    holdout: int = Field(gt=0)
    """Records of the holdout that the forgotten ones were compared with."""
    auc_margin: float
    utility_margin: float
    record_margin: float
    memory_margin: float
    outcome: QualificationOutcome
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    """Over the records of all sets, with the sets as clusters."""
    single_records: tuple[RecordTest, ...] = ()
    """The same."""
    utility_lost: dict[str, Interval]
    """Mean over the sets of the original's accuracy minus that after forgetting a set."""
    worst_utility_lost: dict[str, float]
    """The same of the set that cost most."""
    diverged: int = Field(0, ge=0)
    """Sets of which the method made no model."""
    seconds: float = Field(ge=0)
    """Of unlearning, mean over the sets."""

    @property
    def records(self) -> int:
        """Forgotten records of all sets together."""
        return self.size * self.sets

    @property
    def farthest(self) -> Comparison | None:
        """The comparison whose interval comes nearest to the margin, or goes beyond it most."""
        return farthest(self.comparisons)

    @property
    def told(self) -> str:
        """In one line, with the numbers."""
        found = f"{self.outcome}: {self.sets} sets of {self.size}"
        if self.farthest is not None:
            gap = self.farthest.difference
            found += f", {self.farthest.attack} {gap.estimate:+.3f} AUC [{gap.low:+.3f}, {gap.high:+.3f}]"
        return f"{found}, margin {self.auc_margin}"


class QualifiedBy(Config):
    """What a version serves by, as it is logged with it."""

    qualifications: tuple[Qualification, ...] = Field(min_length=1)


def matching(
    found: Iterable[Qualification], *, original: str, split: str, method: str, settings: dict[str, Any]
) -> tuple[Qualification, ...]:
    """Those of one original, as it stands, of one method with one setting; by size."""
    wanted = (original, split, method, settings)
    return tuple(
        sorted(
            (each for each in found if (each.original, each.split, each.method, each.settings) == wanted),
            key=lambda each: each.size,
        )
    )


def covering(found: Sequence[Qualification], records: int, margins: Margins) -> tuple[Qualification, ...]:
    """What speaks for forgetting so many records: the qualification of that size, or those of the next smaller and
    the next larger size that were tried, of which both must be qualified.

    Nothing is said beyond the sizes that were tried: a method that forgets 1 record may not forget 2, and one that
    forgets 30 in one go may leave a single one.

    Args:
        found: of one original, method and setting; see `matching`.
        records: of the forget set.
        margins: of the policy; qualifications with wider ones do not count.

    Returns:
        One or two; none where they do not speak for it.
    """
    below = [each for each in found if each.size <= records][-1:]
    above = [each for each in found if each.size >= records][:1]
    nearest = tuple({each.size: each for each in (*below, *above)}.values())
    good = all(
        each.outcome == "qualified"
        and all(getattr(each, name) <= getattr(margins, name) for name in Margins.model_fields)
        for each in nearest
    )
    return nearest if below and above and good else ()


def qualified_statement(covered: Sequence[Qualification], records: int) -> str:
    """What is said wherever a model is shown that serves by qualification.

    Args:
        covered: what speaks for it, at least one.
        records: of the forget set.
    """
    made = covered[0]
    these = f"these {records} records were" if records > 1 else "this record was"
    return (
        f"Accepted by qualification: the audit could not tell whether {these} forgotten, and nothing in it speaks "
        f"against it. What is known is of the method and not of {'them' if records > 1 else 'it'}: "
        f"{made.method}, with the same settings on the same original, "
        f"{'; and '.join(_forgot(each) for each in covered)}. The sets were drawn at random: records that are unlike "
        "most others may be forgotten less."
    )


def _forgot(each: Qualification) -> str:
    farthest = each.farthest
    assert farthest is not None, "what is qualified was compared"
    gap = farthest.difference
    lost = max(each.utility_lost.values(), key=lambda lost: lost.high)
    return (
        f"forgot {each.sets} simulated sets of {each.size} ({each.records} records in all): every attack was within "
        f"± {each.auc_margin} AUC of models not trained on them, the farthest {farthest.attack} with "
        f"{gap.estimate:+.3f} ({gap.level:.0%} interval {gap.low:+.3f} to {gap.high:+.3f}), single records were given "
        f"away at most {each.record_margin} more often than by those, and at most "
        f"{lost.high:+.3f} of accuracy was lost on average, margin {each.utility_margin}"
    )
