"""What an erasure certificate states: the predicate of the statement in `certificates`, in one document.

There is no field for a record, a label or a person. What could hide one in a text is refused by `privacy_check`.
"""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, JsonValue, StringConstraints, model_validator

from unlearning.audit.escalation import AttemptName
from unlearning.audit.results import ForgottenBefore, Interval, Outcome, RecordMeasure, RecordTest, Reference
from unlearning.compliance.fields import Digest, RequestId
from unlearning.core.config import Config

How = Literal["unlearned", "retrained", "accepted", "withdrawn", "never_trained"]
"""On what ground a model counts as free of the records. `accepted` is without having passed the audit; `withdrawn`:
what serves, if anything, was never trained on them, and every version that was is out of use; `never_trained`: no
stored version was trained on them."""


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be printable, on one line and without spaces around it")
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=4000), AfterValidator(_printable)]
Name = Annotated[str, StringConstraints(max_length=250, pattern=r"^[^/:']*$"), AfterValidator(_printable)]
"""Of a registered model; empty for none."""
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,64}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
Instant = Annotated[AwareDatetime, AfterValidator(lambda time: time.astimezone(UTC))]
"""With a time zone, kept in UTC."""
Count = Annotated[int, Field(ge=0)]


class Times(Config):
    """When the request came, had to be done, was done, and when this was written."""

    received: Instant
    due: Instant
    fulfilled: Instant
    issued: Instant

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.received <= self.fulfilled <= self.issued:
            raise ValueError("received, fulfilled and issued must follow each other")
        if self.due <= self.received:
            raise ValueError("due must be after received")
        return self

    @property
    def in_time(self) -> bool:
        """Whether it was done before it was due."""
        return self.fulfilled <= self.due


class Weights(Config):
    """A registered version and the SHA-256 of its weights file."""

    version: Annotated[Version, StringConstraints(min_length=1)]
    weights: Digest


class Data(Config):
    """What was trained on; `split` is None where nothing was trained."""

    snapshot: Digest
    split: Digest | None = None


class ForgottenRecords(Config):
    """How many records, and the digest of the forget set; None where there was none, since nothing was trained."""

    records: Count
    forget_set: Digest | None = None


class Making(Config):
    """How the weights after were made."""

    method: Word
    settings: dict[str, JsonValue]
    """Of the method, as they were used."""
    rung: AttemptName
    """The attempt, by the name that signed statements have for it."""
    seed: int
    commit: Annotated[Text, StringConstraints(max_length=60)]
    """Of this software."""


class Attack(Config):
    """One membership-inference attack on the weights after."""

    name: Word
    auc_before: Interval | None = None
    """On the weights before, where that was measured."""
    auc: Interval
    reference: Reference
    gap: Interval
    """AUC minus that of the reference; inside the margin it is two one-sided tests at 5 %."""
    gap_simultaneous: Interval | None = None
    """The same, so wide that it holds for all attacks together."""


class SingleRecords(Config):
    """One measure of single records on the weights after, beside models not trained on the records; 0 is ideal."""

    measure: RecordMeasure
    attack: Word | None = None
    """Whose true positive rate at 1 % false positives."""
    shown: float
    expected: float
    difference: Interval
    simultaneous: Interval | None = None

    @classmethod
    def of(cls, test: RecordTest) -> SingleRecords:
        """As the audit has it."""
        return cls(**test.model_dump(exclude={"attack"}), attack=test.attack or None)


class RepeatedAttack(Config):
    """One attack on records that had been forgotten before."""

    name: Word
    gap: Interval
    """AUC minus that of a model retrained without them."""
    gap_simultaneous: Interval | None = None
    """The same, so wide that it holds for all attacks on them together."""


class AuditedAgain(Config):
    """What had been forgotten before the request, by the weights before or by what they descend from."""

    records: Count
    """That were attacked again."""
    untested: Count | None
    """That could not be; None where nobody knows how many there are. The audit's limits say why."""
    attacks: tuple[RepeatedAttack, ...]

    @classmethod
    def of(cls, before: ForgottenBefore) -> AuditedAgain:
        """As the audit has it."""
        attacks = tuple(
            RepeatedAttack(name=each.attack, gap=each.difference, gap_simultaneous=each.simultaneous)
            for each in before.comparisons
        )
        return cls(records=before.records, untested=before.untested, attacks=attacks)


class AuditResult(Config):
    """What the audit says of the weights after, and what it cannot say."""

    outcome: Outcome
    reasons: tuple[Text, ...]
    statement: Text | None = None
    """Under which the weights serve without having passed; None where they passed."""
    forgotten: Count
    """Records of the forget set that were audited."""
    strangers: Count
    """Non-members that they were compared with, by the name that signed statements have for them."""
    attacks: tuple[Attack, ...] = Field(min_length=1)
    auc_margin: float
    utility_margin: float
    single_records: tuple[SingleRecords, ...] = Field((), exclude_if=lambda found: not found)
    """Left out where no reference models could be asked, as in statements from before they were."""
    record_margin: float | None = Field(None, exclude_if=lambda margin: margin is None)
    memory_margin: float | None = Field(None, exclude_if=lambda margin: margin is None)
    forgotten_before: AuditedAgain | None = Field(None, exclude_if=lambda found: found is None)
    """Left out where nothing had been, as in statements from before anybody looked."""
    utility_lost: dict[Word, Interval]
    """Accuracy of the reference minus that of the weights after, as a share, per measure."""
    smallest_detectable_auc: float | None
    """By one attack, four times in five; None where there were too few records to say."""
    limits: tuple[Text, ...]


class QualifiedAttack(Config):
    """One attack on the records of all simulated sets of a qualification."""

    name: Word
    gap: Interval
    """AUC minus that of models not trained on the records, with the sets as clusters."""


class SimulatedSets(Config):
    """How the method forgot simulated sets: it is about the method on the weights before, and not about the records."""

    size: Annotated[int, Field(gt=0)]
    """Records of each set."""
    sets: Annotated[int, Field(gt=0)]
    seed: int
    references: Annotated[int, Field(gt=0)]
    """Models that say what the attacks should find."""
    attacks: tuple[QualifiedAttack, ...] = Field(min_length=1)
    auc_margin: float
    utility_margin: float
    record_margin: float
    memory_margin: float
    single_records: tuple[SingleRecords, ...] = Field(min_length=1)
    utility_lost: dict[Word, Interval]
    """Accuracy of the weights before minus that after forgetting a set, as a share, mean over the sets."""


class ModelErasure(Config):
    """What was done to one model, or to a snapshot that no model was trained on (name empty)."""

    name: Name
    how: How
    before: Weights | None
    after: Weights | None
    data_before: Data
    data_after: Data
    forgotten: ForgottenRecords
    made: Making | None = None
    audit: AuditResult | None = None
    qualifications: tuple[SimulatedSets, ...] = Field((), exclude_if=lambda found: not found)
    """By which it was accepted; left out where there are none, as statements from before there were any are spelled."""

    @model_validator(mode="after")
    def _is_qualified_only_where_accepted(self) -> Self:
        if self.qualifications and (self.how != "accepted" or self.made is None or self.made.method == "retrain"):
            raise ValueError("only a model that was accepted without being trained again is so by qualification")
        return self

    @model_validator(mode="after")
    def _does_not_serve_what_was_withdrawn(self) -> Self:
        if self.how != "withdrawn":
            return self
        if self.name == "" or self.made is not None or self.audit is not None:
            raise ValueError("a withdrawn model has a name, and is neither made anew nor audited")
        if self.before is not None and self.after is not None and self.before.version == self.after.version:
            raise ValueError("what was withdrawn does not serve")
        return self

    @model_validator(mode="after")
    def _tells_what_was_done(self) -> Self:
        if self.how == "withdrawn":
            return self
        if (self.before is None) != (self.after is None) or (self.after is None) != (self.name == ""):
            raise ValueError("a model has a name and weights before and after; a snapshot has none of them")
        if self.how == "never_trained":
            if self.made is not None or self.audit is not None or self.before != self.after:
                raise ValueError("what was never trained on the records is neither made anew nor audited")
            return self
        if self.after is None or self.made is None or self.audit is None or self.forgotten.forget_set is None:
            raise ValueError(f"a model that was {self.how} needs weights, forget set, how it was made and its audit")
        if self.before is None or self.before.weights == self.after.weights or self.forgotten.records == 0:
            raise ValueError(f"a model that was {self.how} has other weights than before and forgot a record at least")
        if (self.how == "retrained") != (self.made.method == "retrain") and self.how != "accepted":
            raise ValueError("how says retrained where the method is retrain, and nowhere else")
        wanted = "inconclusive" if self.how == "accepted" else "passed"
        if self.audit.outcome != wanted or (self.audit.statement is None) == (self.how == "accepted"):
            raise ValueError(f"a model that was {self.how} has the outcome {wanted}, and a statement only if accepted")
        return self


class PurgedArtifacts(Config):
    """So many stored objects of one kind, such as `model`, `references`, `features`."""

    kind: Word
    objects: Count


class Purge(Config):
    """Stored objects that were deleted, or will be; model and version are empty for what belongs to none."""

    model: Name
    version: Version
    at: Instant
    artefacts: tuple[PurgedArtifacts, ...] = Field(min_length=1)


class LedgerHead(Config):
    """The last event of the request's ledger when this was written: every earlier event follows from its digest."""

    sequence: Count
    sha256: Digest


class Erasure(Config):
    """The predicate: everything a certificate states."""

    request: RequestId
    legal_basis: Annotated[Text, StringConstraints(max_length=200)]
    times: Times
    models: tuple[ModelErasure, ...] = Field(min_length=1)
    purged: tuple[Purge, ...]
    to_be_purged: tuple[Purge, ...]
    """`at` is when it is due."""
    ledger: LedgerHead
    not_claimed: tuple[Text, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        named = [(each.name, each.data_before.snapshot if each.name == "" else "") for each in self.models]
        if len(set(named)) != len(named):
            raise ValueError("a model or snapshot is named twice")
        if any(purge.at > self.times.issued for purge in self.purged):
            raise ValueError("something is said to be purged that was not when this was issued")
        return self
