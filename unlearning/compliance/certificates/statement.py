"""Erasure certificates: what was done for a request, as an in-toto Statement v1 without personal data.

The statement's subjects are the weights that serve after the erasure, by SHA-256; its predicate (`erasure`) says
what was forgotten, how, with what result of the audit, what was purged and what is not claimed. `signing` puts it
into an envelope, `verification` checks one. Documented in docs/certificates.md.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from unlearning.audit.results import Audit, Interval, Verdict
from unlearning.compliance.certificates import privacy_check
from unlearning.compliance.certificates.predicate import (
    Attack,
    AuditedAgain,
    AuditResult,
    Erasure,
    LedgerHead,
    ModelErasure,
    Purge,
    SingleRecords,
    Text,
    Times,
)
from unlearning.compliance.fields import Digest
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import canonical_json

STATEMENT_TYPE: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Literal["urn:unlearning:erasure:v1"] = "urn:unlearning:erasure:v1"
"""Names the predicate; a change that readers could misread gets another number."""


class Sha256(Config):
    """in-toto's set of digests, of which this is the one used."""

    sha256: Digest


class Subject(Config):
    """What the statement is about: the digest counts, the name is for people."""

    name: Text
    digest: Sha256


def _subjects(models: Sequence[ModelErasure]) -> tuple[Subject, ...]:
    """The weights after as `models:/<name>/<version>`; a snapshot where no model was trained on the records."""
    return tuple(
        Subject(
            name=f"models:/{each.name}/{each.after.version}"
            if each.after
            else f"snapshot:/{each.data_after.snapshot[:12]}",
            digest=Sha256(sha256=each.after.weights if each.after else each.data_after.snapshot),
        )
        for each in models
    )


class Statement(Config):
    """An in-toto Statement v1 with the erasure as its predicate."""

    model_config = ConfigDict(serialize_by_alias=True)

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(STATEMENT_TYPE, alias="_type")
    subject: tuple[Subject, ...] = Field(min_length=1)
    predicate_type: Literal["urn:unlearning:erasure:v1"] = Field(PREDICATE_TYPE, alias="predicateType")
    predicate: Erasure

    @model_validator(mode="after")
    def _is_about_its_predicate_and_nobody(self) -> Self:
        if self.subject != _subjects(self.predicate.models):
            raise ValueError("the subjects are not what the predicate says serves after the erasure")
        wrong = privacy_check.problems(self.model_dump())
        if wrong:
            raise ValueError(wrong[0])
        return self


def to_bytes(statement: Statement) -> bytes:
    """The one spelling that is signed: canonical JSON."""
    return canonical_json(statement.model_dump(mode="json")).encode()


def parse(payload: bytes) -> Statement:
    """Read a statement, in its one spelling.

    Raises:
        UserError: anything else.
    """
    try:
        statement = Statement.model_validate(json.loads(payload.decode()))
        canonical = to_bytes(statement) == payload
    except ValidationError as error:
        raise _told(error) from None
    except (ValueError, RecursionError):
        raise UserError("certificate: the payload is not JSON") from None
    if not canonical:
        raise UserError("certificate: the payload is not in canonical form")
    return statement


def _told(error: ValidationError) -> UserError:
    first = error.errors()[0]
    # A key of somebody else's document may hold anything.
    where = ".".join(ascii(str(part)).strip("'")[:60] for part in first["loc"]) or "top level"
    return UserError(f"certificate: {where}: {first['msg']}")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise _told(error) from None


def audit_result(
    audit: Audit, verdict: Verdict, *, smallest_detectable_auc: float | None, statement: str | None = None
) -> AuditResult:
    """What of an audit and its verdict goes into a certificate: figures and words, no signal of any record.

    Args:
        audit: with a `candidate`, and comparisons of every attack on it.
        verdict: on that audit.
        smallest_detectable_auc: see `unlearning.audit.power.detectable_auc`.
        statement: under which the candidate was accepted; None where it passed.

    Raises:
        UserError: no candidate was audited, or an attack on it was not compared with a reference.
    """
    if "candidate" not in audit.models:
        raise UserError("certificate: the audit is not of a candidate: audit it before it is certified")
    before = audit.models.get("original")
    aucs_before: dict[str, Interval] = {each.name: each.auc for each in before.attacks} if before else {}
    compared = {each.attack: each for each in verdict.comparisons}
    missing = [each.name for each in audit.models["candidate"].attacks if each.name not in compared]
    if missing:
        raise UserError(f"certificate: attack {missing[0]} was not compared with a reference: audit it in full")
    with _explained():
        return AuditResult(
            outcome=verdict.outcome,
            reasons=verdict.reasons,
            statement=statement,
            forgotten=audit.records.get("forget", 0),
            strangers=audit.records.get("holdout", 0),
            attacks=tuple(
                Attack(
                    name=each.name,
                    auc_before=aucs_before.get(each.name),
                    auc=each.auc,
                    reference=compared[each.name].reference,
                    gap=compared[each.name].difference,
                    gap_simultaneous=compared[each.name].simultaneous,
                )
                for each in audit.models["candidate"].attacks
            ),
            auc_margin=verdict.auc_margin,
            utility_margin=verdict.utility_margin,
            single_records=tuple(SingleRecords.of(each) for each in verdict.single_records),
            record_margin=verdict.record_margin if verdict.single_records else None,
            memory_margin=verdict.memory_margin if verdict.single_records else None,
            forgotten_before=AuditedAgain.of(verdict.forgotten_before) if verdict.forgotten_before else None,
            utility_lost=verdict.utility_lost,
            smallest_detectable_auc=smallest_detectable_auc,
            limits=verdict.limits,
        )


NOT_CLAIMED = (
    "That nobody could ever tell that the records were used: the audit bounds what the attacks named here find, within "
    "the margins named here. An attack that was not tried, or more records, may show more.",
    "Anything about altered copies of the records. A picture is the same by its pixels, however it is encoded, in grey "
    "or in three equal channels; one that was compressed with loss, mirrored, cropped, rotated, resized or changed "
    "otherwise is another record.",
    "Anything about copies of the records, or of versions of a model, that were handed out or backed up elsewhere.",
    "That any law was complied with: this states what was done and measured, and leaves the judgement to the reader.",
)
"""What no certificate claims."""


def _not_claimed(models: Sequence[ModelErasure], to_be_purged: Sequence[Purge]) -> tuple[str, ...]:
    hows = {each.how for each in models}
    found = list(NOT_CLAIMED)
    if "accepted" in hows:
        found.append(
            "That a model marked accepted forgot the records: the audit could not tell, and it serves all the same."
        )
    if any(each.qualifications for each in models):
        found.append(
            "That what is said of simulated sets holds for these records: it is about the method on other records of "
            "the same model, drawn at random. Records that are unlike most others may be forgotten less."
        )
    if "never_trained" in hows:
        found.append(
            "That what is marked never_trained was audited: it was not, since nothing there was trained on the records."
        )
    if "withdrawn" in hows:
        found.append(
            "That what is marked withdrawn was made to forget or audited: what serves of it, if anything, was trained "
            "without the records, and what was trained on them is out of use."
        )
    if to_be_purged:
        found.append("That earlier versions are gone: what is due to be purged exists until then.")
    return tuple(found)


def build(
    *,
    request: str,
    legal_basis: str,
    times: Times,
    models: Sequence[ModelErasure],
    purged: Sequence[Purge],
    to_be_purged: Sequence[Purge],
    ledger: LedgerHead,
    forbidden: Collection[str],
) -> Statement:
    """The statement for a fulfilled request.

    Args:
        request: its id, the company's own case number.
        legal_basis: such as "GDPR Art. 17".
        times: of the request and of this certificate.
        models: what was done to each; at least one.
        purged: what was deleted.
        to_be_purged: what will be, and when.
        ledger: the last event of the request.
        forbidden: record ids and subject id of the request, of which none may appear.

    Raises:
        UserError: the parts contradict each other, or a forbidden text appears; says where, never which.
    """
    with _explained():
        erasure = Erasure(
            request=request,
            legal_basis=legal_basis,
            times=times,
            models=tuple(models),
            purged=tuple(purged),
            to_be_purged=tuple(to_be_purged),
            ledger=ledger,
            not_claimed=_not_claimed(models, to_be_purged),
        )
        statement = Statement(subject=_subjects(models), predicate=erasure)
    names = {each.name for each in models} | {each.model for each in (*purged, *to_be_purged)}
    found = privacy_check.disclosed(statement.model_dump(), forbidden, {request, legal_basis, *names})
    if found:
        raise UserError(f"certificate: {found[0]} holds a record id or the subject's id: take it out, then issue it")
    return statement
