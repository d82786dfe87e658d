"""What a checkpoint is: a signed line, and a line for each object that it adds to those before.

The first line is a DSSE envelope. It states the checkpoint's number, its time, the SHA-256 of the first line of the
checkpoint before it, and size and root of the Merkle tree of all objects so far (`tree`). The other lines are those of
`sha256sum`: digest, two spaces, key. In the store they are what this checkpoint adds; in a copy, everything.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from unlearning.compliance.certificates import dsse
from unlearning.compliance.certificates.dsse import Envelope
from unlearning.compliance.certificates.keyring import Keyring
from unlearning.compliance.certificates.keys import PrivateKey
from unlearning.compliance.fields import Digest, Moment
from unlearning.compliance.ledger.events import digest_of
from unlearning.compliance.requests.deadlines import clock
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import canonical_json

PAYLOAD_TYPE = "application/vnd.unlearning.ledger-checkpoint+json"
KIND: Literal["urn:unlearning:ledger-checkpoint:v1"] = "urn:unlearning:ledger-checkpoint:v1"

_LEAF = re.compile(r"([0-9a-f]{64})  (.+)")


class Leaf(NamedTuple):
    """An object that is never changed, and the SHA-256 of its exact bytes."""

    key: str
    digest: str

    @property
    def line(self) -> bytes:
        """As it is written and hashed."""
        return f"{self.digest}  {self.key}".encode()


def _one_line(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be one line of printable characters without spaces around it")
    return text


class TreeHead(Config):
    """What is signed: RFC 6962's tree head."""

    kind: Literal["urn:unlearning:ledger-checkpoint:v1"] = KIND
    number: int = Field(ge=1, lt=10**8)
    at: Moment
    """When the store was looked at; never before the checkpoint before it."""
    previous: Digest
    """SHA-256 of the first line of the checkpoint before it; zeros for the first."""
    size: int = Field(ge=0)
    """Objects so far, those of earlier checkpoints too."""
    root: Digest
    """Of the Merkle tree of their lines."""
    restored: Annotated[str, StringConstraints(max_length=300), AfterValidator(_one_line)] = ""
    """Why it begins anew, without the objects of those before; empty where it does not."""

    @property
    def name(self) -> str:
        """What people call it."""
        return f"checkpoint {self.number} of {clock(self.at)}"


@dataclass(frozen=True)
class Document:
    """A checkpoint as it is written."""

    line: bytes
    """The first one, with its line break."""
    envelope: Envelope
    checkpoint: TreeHead
    leaves: tuple[Leaf, ...]

    @property
    def digest(self) -> str:
        """What the next checkpoint calls it."""
        return digest_of(self.line)

    def bytes(self) -> bytes:
        """Its one spelling."""
        return self.line + b"".join(leaf.line + b"\n" for leaf in self.leaves)

    def refusal(self, keyring: Keyring) -> str:
        """Why its signatures do not count; empty where they do."""
        for signature in self.envelope.signatures:
            key = keyring.find(signature.keyid)
            if key is None:
                return f"it is signed by key {signature.keyid[:64]}, which is not trusted"
            if not dsse.is_signed(self.envelope, signature, key.raw):
                return f"it is not by key {key.keyid}: altered, or forged"
            if refusal := key.refusal(self.checkpoint.at):
                return f"key {key.keyid} did not sign then: {refusal}"
        return ""


def sign(checkpoint: TreeHead, leaves: tuple[Leaf, ...], key: PrivateKey) -> Document:
    """A checkpoint with its signature."""
    payload = canonical_json(checkpoint.model_dump(mode="json")).encode()
    line = dsse.sign(payload, [key], PAYLOAD_TYPE)
    return Document(line, dsse.read(line), checkpoint, leaves)


def parse(data: bytes) -> Document:
    """A checkpoint, in its one spelling; who signed it is not looked at.

    Raises:
        UserError: it is none; one clause without the place.
    """
    line, found, rest = data.partition(b"\n")
    try:
        envelope = dsse.read(line)
        payload = dsse.decoded(envelope.payload)
        checkpoint = TreeHead.model_validate(json.loads(payload.decode()))
        leaves = tuple(_leaf(each) for each in rest.decode().split("\n")[:-1])
    except (UserError, ValidationError, ValueError, RecursionError):
        raise UserError("it is not a checkpoint, or damaged") from None
    document = Document(line + found, envelope, checkpoint, leaves)
    canonical = canonical_json(checkpoint.model_dump(mode="json")).encode() == payload
    if envelope.payloadType != PAYLOAD_TYPE or not canonical or document.bytes() != data:
        raise UserError("it is not in canonical form, byte for byte")
    if dsse.spelled(envelope) != document.line:
        raise UserError("it is not in canonical form, byte for byte")
    return document


def _leaf(text: str) -> Leaf:
    found = _LEAF.fullmatch(text)
    if found is None:
        raise ValueError("no line of a checkpoint")
    return Leaf(found[2], found[1])
