"""`unlearn verify`: whether an erasure certificate is genuine, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlearning.cli.output import Json, path_text, show
from unlearning.compliance.certificates import dsse, keys, verification
from unlearning.compliance.certificates import keyring as keyrings
from unlearning.compliance.certificates.keyring import Keyring
from unlearning.compliance.certificates.verification import Verification
from unlearning.core.errors import EXIT_PROBLEMS, UserError


def verify(
    file: Annotated[Path, typer.Argument(help="The certificate: a signed JSON file.")],
    key: Annotated[list[Path] | None, typer.Option(help="PEM file of a trusted public key; may be repeated.")] = None,
    keyring: Annotated[Path | None, typer.Option(help="Trusted keys with their periods, see `unlearn keys`.")] = None,
    json: Json = False,
) -> None:
    """Whether an erasure certificate is genuine: without a network, one line per check.

    Exit codes: 0 verified, 3 not verified, 2 the file or the keys cannot be read.
    """
    trusted = trusted_keys(key or [], keyring)
    try:
        with file.open("rb") as handle:
            data = handle.read(dsse.LARGEST + 1)
        found = verification.verify(data, trusted)
    except OSError as error:
        raise UserError(f"certificate {path_text(file)} cannot be read: {error.strerror}") from None
    except UserError as error:
        raise UserError(f"certificate {path_text(file)}: {error}") from None
    show(found, json, lambda: _text(found))
    if not found.verified:
        raise typer.Exit(EXIT_PROBLEMS)


def trusted_keys(key_files: list[Path], keyring: Path | None) -> Keyring:
    """The keys that somebody said to trust.

    Raises:
        UserError: both ways were used, or none; or the keys cannot be read.
    """
    if bool(key_files) == (keyring is not None):
        raise UserError("say whom to trust: give --key PUBLIC.pem or --keyring keyring.json, one of them")
    if keyring is not None:
        return keyrings.load(keyring)
    given = [keyrings.trusted(keys.load_public(path)) for path in key_files]
    return Keyring(keys=tuple({each.keyid: each for each in given}.values()))


def _text(found: Verification) -> str:
    lines = [f"{check.name + ':':13} {'ok' if check.passed else 'FAILED'}, {check.detail}" for check in found.checks]
    if found.statement is None:
        return "\n".join([*lines, "NOT VERIFIED: do not rely on this certificate"])
    stated = found.statement.predicate
    models = ", ".join(subject.name for subject in found.statement.subject)
    done = f"fulfilled {stated.times.fulfilled:%Y-%m-%d}, {'in time' if stated.times.in_time else 'late'}"
    return "\n".join([*lines, f"VERIFIED: request {stated.request}, {done}; {models}"])
