"""Whether a certificate is what a trusted key signed at a time when it might: offline, check by check.

Every signature of an envelope has to be by a trusted key and valid, which is stricter than DSSE: otherwise the bytes of
one that nobody checks could be changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from unlearning.compliance.certificates import dsse, privacy_check
from unlearning.compliance.certificates import statement as certificates
from unlearning.compliance.certificates.dsse import PAYLOAD_TYPE, Envelope, Signature
from unlearning.compliance.certificates.keyring import Keyring, TrustedKey
from unlearning.compliance.certificates.statement import Statement
from unlearning.core.config import Config
from unlearning.core.errors import UserError


class Check(Config):
    """One thing that was looked at; `detail` is one printable line."""

    name: str
    passed: bool
    detail: str


class Verification(Config):
    """What was looked at, and what the certificate states where everything was right."""

    verified: bool
    sha256: str
    """Of the file: what the ledger calls the certificate."""
    checks: tuple[Check, ...]
    statement: Statement | None
    """None unless verified, so that nothing that nobody signed is taken for stated."""


def verify(data: bytes, keyring: Keyring) -> Verification:
    """Check the content of a certificate's file.

    Args:
        data: the whole file.
        keyring: the keys that are trusted.

    Raises:
        UserError: it is not an envelope at all.
    """
    envelope = dsse.read(data)
    checks = [_form(data, envelope)]
    checks += [_signature(envelope, each, keyring) for each in envelope.signatures]
    genuine = all(check.passed for check in checks)
    schema, statement = _schema(envelope)
    checks += [_period(each, keyring, statement if genuine else None) for each in envelope.signatures]
    checks += [schema, _digests(envelope)]
    verified = statement is not None and all(check.passed for check in checks)
    return Verification(
        verified=verified,
        sha256=hashlib.sha256(data).hexdigest(),
        checks=tuple(checks),
        statement=statement if verified else None,
    )


def _check(name: str, wrong: str | None, right: str) -> Check:
    detail = right if wrong is None else wrong
    return Check(name=name, passed=wrong is None, detail="".join(c if c.isprintable() else "?" for c in detail))


def _form(data: bytes, envelope: Envelope) -> Check:
    def wrong() -> Iterator[str]:
        if envelope.payloadType != PAYLOAD_TYPE:
            yield f"the payload type is not {PAYLOAD_TYPE}"
        names = [each.keyid for each in envelope.signatures]
        if names != sorted(set(names)):
            yield "the signatures are not in order, or one key signed twice"
        if dsse.spelled(envelope) != data:
            yield "the file is not in canonical form, byte for byte"

    return _check("form", next(wrong(), None), f"a DSSE envelope of {PAYLOAD_TYPE} in canonical form")


def _signature(envelope: Envelope, signature: Signature, keyring: Keyring) -> Check:
    key = keyring.find(signature.keyid)
    if key is None:
        return _check("signature", f"key {signature.keyid[:64]} is not trusted: ask the issuer for its key", "")
    wrong = None if dsse.is_signed(envelope, signature, key.raw) else f"not by key {key.keyid}: altered, or forged"
    return _check("signature", wrong, f"valid, by key {key.keyid}")


def _period(signature: Signature, keyring: Keyring, statement: Statement | None) -> Check:
    """Only a statement that was signed says when it was issued."""
    key = keyring.find(signature.keyid)
    if key is None or statement is None:
        return _check("key validity", "cannot be told, since something else is wrong", "")
    issued = statement.predicate.times.issued
    refusal = key.refusal(issued)
    wrong = None if refusal is None else f"key {key.keyid}: {refusal}; the certificate says {_clock(statement)}"
    return _check("key validity", wrong, f"issued {_clock(statement)}, {_allowed(key)}")


def _clock(statement: Statement) -> str:
    return f"{statement.predicate.times.issued:%Y-%m-%d %H:%M:%S} UTC"


def _allowed(key: TrustedKey) -> str:
    if key.not_before is None and key.not_after is None:
        return "and the key was given without a period"
    start = "the beginning" if key.not_before is None else f"{key.not_before:%Y-%m-%d}"
    end = "today" if key.not_after is None else f"{key.not_after:%Y-%m-%d}"
    return f"in the key's period from {start} to {end}"


def _schema(envelope: Envelope) -> tuple[Check, Statement | None]:
    right = f"an in-toto statement with predicate {certificates.PREDICATE_TYPE}"
    try:
        statement = certificates.parse(dsse.decoded(envelope.payload))
    except UserError as error:
        return _check("schema", str(error), right), None
    return _check("schema", None, right), statement


def _digests(envelope: Envelope) -> Check:
    right = "well-formed, and none where none belongs"
    try:
        document = json.loads(dsse.decoded(envelope.payload).decode())
        wrong = privacy_check.problems(document) if isinstance(document, dict) else ["the payload is not a statement"]
    except (UserError, ValueError, RecursionError):
        wrong = ["the payload is not JSON"]
    return _check("digests", next(iter(wrong), None), right)
