"""DSSE v1 envelopes: a payload and signatures over it and its type.

https://github.com/secure-systems-lab/dsse. An envelope has one spelling here, stricter than the specification asks:
canonical JSON with standard base64 and one line break at the end, so that no byte of the file changes unnoticed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, ValidationError

from unlearning.compliance.certificates.keys import keyid, raw_public
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import canonical_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST = 1 << 20
"""Bytes of an envelope; a certificate has some thousands."""
MOST_SIGNATURES = 8


class Signature(Config):
    """One signature in base64, and the id of the key that made it: a hint, never trusted by itself."""

    keyid: str
    sig: str


class Envelope(Config):
    """A payload in base64, its type, and who signed both."""

    payload: str
    payloadType: str  # noqa: N815 - the specification's name
    signatures: tuple[Signature, ...] = Field(min_length=1, max_length=MOST_SIGNATURES)


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding, which no other type and payload share."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, keys: Sequence[Ed25519PrivateKey], payload_type: str = PAYLOAD_TYPE) -> bytes:
    """The content of an envelope's file, signed with every key.

    Args:
        payload: what is signed.
        keys: that sign.
        payload_type: what the payload is, which is signed with it.

    Raises:
        UserError: no key, or one twice.
    """
    signed = {keyid(raw_public(key)): key.sign(pae(payload_type, payload)) for key in keys}
    if not 1 <= len(signed) <= MOST_SIGNATURES or len(signed) != len(keys):
        raise UserError(f"cannot sign with {len(keys)} keys: give 1 to {MOST_SIGNATURES} different ones")
    signatures = tuple(Signature(keyid=name, sig=_encoded(signed[name])) for name in sorted(signed))
    return spelled(Envelope(payload=_encoded(payload), payloadType=payload_type, signatures=signatures))


def spelled(envelope: Envelope) -> bytes:
    """The one spelling of an envelope."""
    return (canonical_json(envelope.model_dump(mode="json")) + "\n").encode()


def read(data: bytes) -> Envelope:
    """An envelope in any spelling: whether it is the right one is for `verification` to say.

    Raises:
        UserError: not an envelope at all.
    """
    if len(data) > LARGEST:
        raise UserError(f"it is longer than {LARGEST} bytes, so it is not a certificate")
    try:
        return Envelope.model_validate(json.loads(data.decode()))
    except (ValidationError, ValueError, RecursionError):
        raise UserError("it is not a DSSE envelope in JSON, so it is not a certificate") from None


def decoded(text: str) -> bytes:
    """The bytes of base64 in its one spelling.

    Raises:
        UserError: another spelling, or no base64.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UserError("not base64") from None
    if _encoded(data) != text:
        raise UserError("not base64 in canonical form")
    return data


def is_signed(envelope: Envelope, signature: Signature, raw: bytes) -> bool:
    """Whether the key with these 32 public bytes signed the envelope."""
    try:
        signed = pae(envelope.payloadType, decoded(envelope.payload))
        Ed25519PublicKey.from_public_bytes(raw).verify(decoded(signature.sig), signed)
    except (InvalidSignature, UserError, UnicodeError):
        return False
    return True


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
