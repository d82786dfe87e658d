"""What was found when a version was audited."""

from __future__ import annotations

from unlearning.audit.results import Audit, Interval, Outcome, RecordTest, Verdict
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.registry.versions import Version


class Attacked(Config):
    """One attack on the version, and beside a model not trained on the records."""

    name: str
    black_box: bool
    auc: Interval
    tpr_at_1_fpr: Interval
    difference: Interval | None
    """AUC minus that of a model not trained on the records; None where it was not compared."""
    simultaneous: Interval | None
    """The same for all attacks together."""


class AuditAnswer(Config):
    """A version's audit and the verdict on it."""

    model: str
    version: str
    outcome: Outcome
    statement: str
    """Under which it was accepted without having passed, or `none`."""
    reasons: tuple[str, ...]
    limits: tuple[str, ...]
    """What was tested, and how small a leak would have gone unseen."""
    auc_margin: float
    utility_margin: float
    records: dict[str, int]
    """How many of each group were audited."""
    references: int
    attacks: tuple[Attacked, ...]
    single_records: tuple[RecordTest, ...]
    """Beside models not trained on the records; empty where no reference models could be asked."""
    retained_auc: Interval
    utility_lost: dict[str, Interval]


def audited(version: Version, audit: Audit, verdict: Verdict) -> AuditAnswer:
    """The audit of a version, as it was registered with it.

    Raises:
        UserError: audit, verdict and version are not about the same model.
    """
    candidate = audit.models.get("candidate")
    if candidate is None or candidate.model != version.tags.digest:
        raise UserError(f"model {version.name} version {version.version}: the audit in MLflow is of another model")
    if verdict.comparisons != audit.comparisons or verdict.outcome != version.tags.verdict:
        raise UserError(f"model {version.name} version {version.version}: its verdict and its audit do not belong")
    compared = {each.attack: each for each in audit.comparisons}
    return AuditAnswer(
        model=version.name,
        version=version.version,
        outcome=verdict.outcome,
        statement=version.tags.statement,
        reasons=verdict.reasons,
        limits=verdict.limits,
        auc_margin=verdict.auc_margin,
        utility_margin=verdict.utility_margin,
        records=audit.records,
        references=audit.references,
        attacks=tuple(
            Attacked(
                name=each.name,
                black_box=each.black_box,
                auc=each.auc,
                tpr_at_1_fpr=each.tpr_at_1_fpr,
                difference=compared[each.name].difference if each.name in compared else None,
                simultaneous=compared[each.name].simultaneous if each.name in compared else None,
            )
            for each in candidate.attacks
        ),
        single_records=verdict.single_records,
        retained_auc=candidate.retained_auc,
        utility_lost=verdict.utility_lost,
    )
