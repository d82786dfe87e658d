"""The public keys that certificates are checked with, and when each of them may have signed.

`keyring.json` holds no secret: hand it out beside the certificates, by a way that the reader trusts. Old keys stay
in it, so that what they signed keeps verifying. A key that got into wrong hands is revoked: nothing it signed counts
any more, since its holder can write any time into a certificate.
"""

from __future__ import annotations

import base64
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from unlearning.compliance.certificates.keys import (
    RAW_BYTES,
    PrivateKey,
    keyid,
    keyring_beside,
    raw_public,
    signing_key,
)
from unlearning.compliance.certificates.predicate import Instant
from unlearning.compliance.fields import Digest
from unlearning.core.config import Config, read_config
from unlearning.core.errors import UserError
from unlearning.core.files import write_json

Status = Literal["active", "retired", "revoked"]


class TrustedKey(Config):
    """One public key and the period in which it may have signed."""

    keyid: Digest
    """SHA-256 of the key's 32 bytes."""
    public_key: str
    """The 32 bytes in base64."""
    not_before: Instant | None = None
    """First moment of the period; None where it is not known."""
    not_after: Instant | None = None
    """Last moment of the period; None where it has no end yet."""
    status: Status = "active"

    @model_validator(mode="after")
    def _is_one_key(self) -> Self:
        raw = base64.b64decode(self.public_key, validate=True)
        if len(raw) != RAW_BYTES or keyid(raw) != self.keyid:
            raise ValueError("keyid and public_key do not belong together")
        if self.status == "retired" and self.not_after is None:
            raise ValueError("a retired key needs not_after")
        if self.not_before and self.not_after and self.not_after < self.not_before:
            raise ValueError("not_after is before not_before")
        return self

    @property
    def raw(self) -> bytes:
        """The 32 bytes."""
        return base64.b64decode(self.public_key)

    def refusal(self, issued: datetime) -> str | None:
        """Why a certificate issued then does not count; None where it does."""
        if self.status == "revoked":
            return "it was revoked"
        if self.not_before is not None and issued < self.not_before:
            return f"it signs from {self.not_before:%Y-%m-%d %H:%M:%S} UTC on"
        if self.not_after is not None and issued > self.not_after:
            return f"it signed until {self.not_after:%Y-%m-%d %H:%M:%S} UTC"
        return None


def trusted(raw: bytes, not_before: datetime | None = None) -> TrustedKey:
    """An active key."""
    return TrustedKey(keyid=keyid(raw), public_key=base64.b64encode(raw).decode(), not_before=not_before)


class Keyring(Config):
    """Every key that is trusted, or was."""

    keys: tuple[TrustedKey, ...] = Field(max_length=1000)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({key.keyid for key in self.keys}) != len(self.keys):
            raise ValueError("a key is listed twice")
        return self

    def find(self, name: str) -> TrustedKey | None:
        """The key of that id."""
        return next((key for key in self.keys if key.keyid == name), None)

    def with_key(self, key: TrustedKey) -> Keyring:
        """This keyring and one more key.

        Raises:
            UserError: it holds the key already.
        """
        if self.find(key.keyid):
            raise UserError(f"key {key.keyid} is in the keyring already")
        return Keyring(keys=(*self.keys, key))

    def without(self, name: str, *, status: Literal["retired", "revoked"], at: datetime) -> Keyring:
        """This keyring with one key that signs no more from `at` on; a revoked one counts for nothing at all.

        Raises:
            UserError: no such key, it was revoked, or `at` is before its period or beyond an earlier end.
        """
        key = self.find(name)
        if key is None:
            raise UserError(f"key {name} is not in the keyring: see unlearn keys show")
        if key.status == "revoked":
            raise UserError(f"key {name} was revoked, which is for good")
        if key.not_before is not None and at < key.not_before:
            raise UserError(f"key {name} signs from {key.not_before:%Y-%m-%d %H:%M:%S} UTC on: retire it after that")
        end = at if key.not_after is None else min(at, key.not_after)
        changed = TrustedKey.model_validate(key.model_dump() | {"status": status, "not_after": end})
        return Keyring(keys=tuple(changed if each is key else each for each in self.keys))


def load(path: Path) -> Keyring:
    """Read a keyring.

    Raises:
        UserError: missing or damaged.
    """
    return read_config(Keyring, path, "keyring")


def save(keyring: Keyring, path: Path) -> None:
    """Write it in one step."""
    write_json(path, keyring.model_dump(mode="json"))


def signer(now: datetime) -> PrivateKey:
    """The key of this process's environment, after a look whether readers will trust what it signs now.

    Raises:
        UserError: there is none, or the keyring beside it lacks it, or says that it signs no more.
    """
    key, path = signing_key(), keyring_beside()
    if path is None:
        return key
    name = keyid(raw_public(key))
    found = load(path).find(name)
    refusal = "it is not in it" if found is None else found.refusal(now)
    if refusal is not None:
        raise UserError(f"signing key {name[:12]} does not count by {path}: {refusal}; sign with a key that counts")
    return key
