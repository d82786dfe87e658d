"""`unlearn keys …`: the keys that sign certificates, and the keyring that others check them with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from unlearning.cli.output import Json, path_text, show
from unlearning.compliance.certificates import keyring as keyrings
from unlearning.compliance.certificates import keys
from unlearning.compliance.certificates.keyring import Keyring, TrustedKey
from unlearning.compliance.certificates.predicate import Instant
from unlearning.core.errors import UserError
from unlearning.core.files import write_text

app = typer.Typer(
    help="Keys that sign erasure certificates. A private key is never printed and never a parameter.",
    no_args_is_help=True,
)


@app.command("new")
def new_key(
    out: Annotated[Path, typer.Option(help="PEM file of the private key; never over another file.")],
    keyring: Annotated[Path, typer.Option(help="Keyring that gets the public key; made if missing.")],
    json: Json = False,
) -> None:
    """Make a key: a private PEM file, the public one beside it, and an entry in the keyring from now on."""
    public = out.with_suffix(".pub.pem")
    if public.exists():
        raise UserError(f"{path_text(public)} exists: a key is never written over another; choose another name")
    key = keys.new()
    raw = keys.raw_public(key)
    entry = keyrings.trusted(raw, datetime.now(UTC).replace(microsecond=0))
    known = keyrings.load(keyring) if keyring.exists() else Keyring(keys=())
    keys.write_private(key, out)
    try:
        write_text(public, keys.public_pem(raw))
        keyrings.save(known.with_key(entry), keyring)
    except BaseException:
        out.unlink()
        public.unlink(missing_ok=True)
        raise
    made = {"keyid": entry.keyid, "private": path_text(out), "public": path_text(public), "keyring": path_text(keyring)}
    show(made, json)


@app.command("show")
def show_keys(
    keyring: Annotated[Path | None, typer.Option(help="Keyring; the signing key's public part if left out.")] = None,
    pem: Annotated[str, typer.Option(help="Id of a key, to print it in PEM as openssl reads it.")] = "",
    json: Json = False,
) -> None:
    """The public keys of a keyring, or that of the environment's signing key."""
    found = keyrings.load(keyring) if keyring is not None else _own()
    if pem:
        key = found.find(pem)
        if key is None:
            raise UserError(f"key {pem} is not in the keyring: see unlearn keys show")
        print(keys.public_pem(key.raw), end="")
        return
    show(found, json, lambda: "\n".join(map(_line, found.keys)) or "no keys")


@app.command("retire")
def retire(
    keyid: Annotated[str, typer.Argument(help="Id of the key, see `unlearn keys show`.")],
    keyring: Annotated[Path, typer.Option(help="Keyring to change.")],
    at: Annotated[str, typer.Option(help="When, such as 2026-01-31T12:00:00Z; now if left out.")] = "",
    revoke: Annotated[
        bool, typer.Option("--revoke", help="It got into wrong hands: nothing it signed counts.")
    ] = False,
    json: Json = False,
) -> None:
    """Let a key sign no more; what it signed before keeps verifying, unless it is revoked."""
    moment = _time(at) if at else datetime.now(UTC).replace(microsecond=0)
    changed = keyrings.load(keyring).without(keyid, status="revoked" if revoke else "retired", at=moment)
    keyrings.save(changed, keyring)
    show(changed, json, lambda: "\n".join(map(_line, changed.keys)))


def _own() -> Keyring:
    return Keyring(keys=(keyrings.trusted(keys.raw_public(keys.signing_key())),))


def _time(text: str) -> datetime:
    try:
        return TypeAdapter(Instant).validate_python(text)
    except ValidationError:
        raise UserError(f"time {text!r} is not understood: write it like 2026-01-31T12:00:00Z") from None


def _line(key: TrustedKey) -> str:
    start = f"{key.not_before:%Y-%m-%dT%H:%M:%SZ}" if key.not_before else "the beginning"
    end = f" until {key.not_after:%Y-%m-%dT%H:%M:%SZ}" if key.not_after else ""
    return f"{key.keyid}  {key.status:8}  from {start}{end}"
