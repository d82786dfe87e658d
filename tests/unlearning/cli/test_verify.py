from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from unlearning.compliance.certificates import dsse, keyring, keys, statement
from unlearning.compliance.certificates.keyring import Keyring
from unlearning.compliance.certificates.statement import Statement

Cli = Callable[..., Any]
KEY, OTHER = keys.new(), keys.new()
NAMES = ["form", "signature", "key validity", "schema", "digests"]


@pytest.fixture
def folder(tmp_path: Path, make_statement: Callable[..., Statement]) -> Path:
    """A certificate, the keyring and the public key that it is checked with, and somebody else's."""
    (tmp_path / "certificate.json").write_bytes(dsse.sign(statement.to_bytes(make_statement()), [KEY]))
    trusted = keyring.trusted(keys.raw_public(KEY), datetime(2024, 1, 1, tzinfo=UTC))
    keyring.save(Keyring(keys=(trusted,)), tmp_path / "keyring.json")
    (tmp_path / "public.pem").write_text(keys.public_pem(keys.raw_public(KEY)))
    (tmp_path / "other.pem").write_text(keys.public_pem(keys.raw_public(OTHER)))
    return tmp_path


def test_a_genuine_certificate_is_verified_check_by_check(cli: Cli, folder: Path) -> None:
    answer = cli("verify", folder / "certificate.json", "--keyring", folder / "keyring.json")
    assert (answer.code, answer.err) == (0, "")
    *checks, last = answer.out.splitlines()
    assert [line.split(":")[0] for line in checks] == NAMES
    assert all(line.split(":", 1)[1].strip().startswith("ok, ") for line in checks)
    assert last == "VERIFIED: request CASE-2024-17, fulfilled 2024-06-11, in time; models:/encoder-1/2"


def test_one_of_several_public_keys_is_enough_without_a_period(cli: Cli, folder: Path) -> None:
    given = ("--key", folder / "other.pem", "--key", folder / "public.pem", "--key", folder / "public.pem")
    answer = cli("verify", folder / "certificate.json", *given)
    assert answer.code == 0
    assert "the key was given without a period" in answer.out


def test_an_untrusted_key_does_not_verify(cli: Cli, folder: Path) -> None:
    answer = cli("verify", folder / "certificate.json", "--key", folder / "other.pem")
    assert (answer.code, answer.err) == (3, "")
    assert "signature:    FAILED, key" in answer.out
    assert answer.out.splitlines()[-1] == "NOT VERIFIED: do not rely on this certificate"


def test_an_altered_certificate_does_not_verify(cli: Cli, folder: Path) -> None:
    path = folder / "certificate.json"
    path.write_bytes(path.read_bytes().rstrip())
    answer = cli("verify", path, "--keyring", folder / "keyring.json")
    assert answer.code == 3
    assert "form:         FAILED, the file is not in canonical form" in answer.out


def test_scripts_get_json(cli: Cli, folder: Path) -> None:
    path = folder / "certificate.json"
    found = json.loads(cli("verify", path, "--keyring", folder / "keyring.json", "--json").out)
    assert found["verified"] is True
    assert found["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert [check["name"] for check in found["checks"]] == NAMES
    assert found["statement"]["_type"] == "https://in-toto.io/Statement/v1"
    assert found["statement"]["predicateType"] == "urn:unlearning:erasure:v1"
    refused = cli("verify", path, "--key", folder / "other.pem", "--json")
    assert refused.code == 3
    found = json.loads(refused.out)
    assert (found["verified"], found["statement"]) == (False, None)


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("gone.json", "--keyring", "keyring.json"), "gone.json cannot be read: No such file"),
        ((".", "--keyring", "keyring.json"), "cannot be read: Is a directory"),
        (("keyring.json", "--keyring", "keyring.json"), "keyring.json: it is not a DSSE envelope"),
        (("certificate.json", "--keyring", "gone.json"), "keyring: gone.json does not exist"),
        (("certificate.json", "--keyring", "certificate.json"), "keyring certificate.json: keys: Field required"),
        (("certificate.json", "--key", "certificate.json"), "is not a PEM public key"),
        (("certificate.json",), "say whom to trust: give --key PUBLIC.pem or --keyring"),
        (("certificate.json", "--key", "public.pem", "--keyring", "keyring.json"), "one of them"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(
    cli: Cli, folder: Path, arguments: tuple[str, ...], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    answer = cli("verify", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert wrong in answer.error


OFFLINE = """
import socket, sys
def refuse(*_): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
from unlearning.cli import main
try:
    main()
except SystemExit as end:
    heavy = {"torch", "mlflow", "kfp", "boto3", "sklearn", "matplotlib"} & set(sys.modules)
    assert not heavy, heavy
    raise
"""


def test_it_needs_no_network_and_no_learning(folder: Path) -> None:
    command = [sys.executable, "-c", OFFLINE, "verify", str(folder / "certificate.json")]
    done = subprocess.run([*command, "--keyring", str(folder / "keyring.json")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nVERIFIED: " in done.stdout
