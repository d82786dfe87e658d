"""Ed25519 keys: who signs, from a file or from a secret of the environment.

| variable | meaning |
|---|---|
| `UNLEARNING_SIGNING_KEY_FILE` | PEM file of the private key, such as a mounted secret |
| `UNLEARNING_SIGNING_KEY` | the PEM itself, where no file can be mounted |

A file `keyring.json` beside the PEM file says which keys count, see `keyring`.

A private key is never a parameter, so that neither Kubeflow nor MLflow nor a log gets to see it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from unlearning.core.errors import UserError

KEY_FILE = "UNLEARNING_SIGNING_KEY_FILE"
KEY = "UNLEARNING_SIGNING_KEY"
KEYRING_FILE = "keyring.json"
RAW_BYTES = 32

PrivateKey = Ed25519PrivateKey
"""What signs."""


def new() -> Ed25519PrivateKey:
    """A fresh key, from the operating system's randomness."""
    return Ed25519PrivateKey.generate()


def raw_public(key: Ed25519PrivateKey | Ed25519PublicKey) -> bytes:
    """The 32 bytes of the public key."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return public.public_bytes_raw()


def keyid(raw: bytes) -> str:
    """The name of a key: SHA-256 of its 32 public bytes, in full, in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def public_pem(raw: bytes) -> str:
    """The public key as openssl reads it."""
    key = Ed25519PublicKey.from_public_bytes(raw)
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def load_public(path: Path) -> bytes:
    """The 32 bytes of a public key in a PEM file.

    Raises:
        UserError: missing, or no public Ed25519 key.
    """
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise UserError(f"public key {path} cannot be read ({error.strerror}): give the signer's PEM file") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"public key {path} is not a PEM public key: give the signer's, not a private one") from None
    if not isinstance(key, Ed25519PublicKey):
        raise UserError(f"public key {path} is not an Ed25519 key: give the signer's")
    return raw_public(key)


IN_A_POD = "KUBERNETES_SERVICE_HOST"
"""Kubernetes sets it in every container."""


def load_private(path: Path) -> Ed25519PrivateKey:
    """A private key in a PEM file without a password; warns on standard error where everybody can read it.

    Not in a pod: there Kubernetes makes a secret readable for everybody, KFP cannot ask for another mode, and nobody
    else is in it.

    Raises:
        UserError: missing, or no private Ed25519 key.
    """
    try:
        data = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise UserError(f"signing key {path} cannot be read ({error.strerror}): see unlearn keys new") from None
    if mode & stat.S_IROTH and IN_A_POD not in os.environ:
        print(f"warning: signing key {path} can be read by everybody: chmod 600 {path}", file=sys.stderr)
    return _private(data, str(path))


def signing_key() -> Ed25519PrivateKey:
    """The key of this process's environment.

    Raises:
        UserError: none is set, both variables are, or it is no private Ed25519 key.
    """
    path, text = os.environ.get(KEY_FILE), os.environ.get(KEY)
    if path and text:
        raise UserError(f"both {KEY_FILE} and {KEY} are set: unset one of them")
    if path:
        return load_private(Path(path))
    if text:
        return _private(text.encode(), KEY)
    raise UserError(f"no signing key: set {KEY_FILE} to a PEM file, or {KEY} to its content (see unlearn keys new)")


def keyring_beside() -> Path | None:
    """The keyring that lies beside the file of this process's key; None where there is none."""
    path = os.environ.get(KEY_FILE)
    beside = Path(path).with_name(KEYRING_FILE) if path else None
    return beside if beside is not None and beside.is_file() else None


def _private(data: bytes, where: str) -> Ed25519PrivateKey:
    """Never says why it failed in the library's words, since they could quote the key."""
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError:
        raise UserError(f"signing key {where} has a password: give it without one, in a protected place") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"signing key {where} is not a PEM private key: make one with unlearn keys new") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"signing key {where} is not an Ed25519 key: make one with unlearn keys new")
    return key


def write_private(key: Ed25519PrivateKey, path: Path) -> None:
    """Write a PEM file that only its owner may read; never over another file.

    Raises:
        UserError: the file exists, or its folder cannot be written to.
    """
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UserError(f"{path} exists: a key is never written over another; choose another name") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose a folder you may write to") from None
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
    except BaseException:
        path.unlink()
        raise
