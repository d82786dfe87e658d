from __future__ import annotations

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from unlearning.compliance.certificates import dsse, keyring, keys, statement
from unlearning.compliance.certificates.statement import Statement

Cli = Callable[..., Any]


@pytest.fixture
def made(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a new key in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(keys.KEY, raising=False)
    monkeypatch.setenv(keys.KEY_FILE, "signing.pem")
    answer = cli("keys", "new", "--out", "signing.pem", "--keyring", "keyring.json", "--json")
    assert (answer.code, answer.err) == (0, "")
    return str(json.loads(answer.out)["keyid"])


def private_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if "-----" not in line]


def test_a_new_key_is_kept_apart_from_what_is_handed_out(made: str, tmp_path: Path) -> None:
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keyring.json", "signing.pem", "signing.pub.pem"]
    assert stat.S_IMODE((tmp_path / "signing.pem").stat().st_mode) == 0o600
    raw = keys.raw_public(keys.load_private(tmp_path / "signing.pem"))
    assert keys.keyid(raw) == made
    assert keys.load_public(tmp_path / "signing.pub.pem") == raw
    (entry,) = keyring.load(tmp_path / "keyring.json").keys
    assert (entry.keyid, entry.status, entry.not_after) == (made, "active", None)
    assert entry.not_before is not None
    assert timedelta(0) <= datetime.now(UTC) - entry.not_before < timedelta(minutes=5)
    for secret in private_lines(tmp_path / "signing.pem"):
        assert secret not in (tmp_path / "keyring.json").read_text() + (tmp_path / "signing.pub.pem").read_text()


def test_nothing_is_written_over(cli: Cli, made: str, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for taken in ("signing.pem", "keyring.json"):
        answer = cli("keys", "new", "--out", taken, "--keyring", "keyring.json")
        assert answer.code == 2
        assert "exists: a key is never written over another" in answer.error
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_key_that_cannot_be_entered_is_not_left_behind(cli: Cli, made: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.iterdir())
    assert cli("keys", "new", "--out", "second.pem", "--keyring", "file/keyring.json").code == 2
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "keyring.json").write_text("{}")
    assert "keyring keyring.json: keys" in cli("keys", "new", "--out", "a.pem", "--keyring", "keyring.json").error
    assert sorted(tmp_path.iterdir()) == before


def test_keys_are_shown_without_anything_private(cli: Cli, made: str, tmp_path: Path) -> None:
    shown = [cli("keys", "show"), cli("keys", "show", "--keyring", "keyring.json"), cli("keys", "show", "--json")]
    pem = cli("keys", "show", "--keyring", "keyring.json", "--pem", made)
    assert pem.out == (tmp_path / "signing.pub.pem").read_text()
    for answer in (*shown, pem):
        assert (answer.code, answer.err) == (0, "")
        assert not any(secret in answer.out for secret in private_lines(tmp_path / "signing.pem"))
    assert all(made in answer.out for answer in shown)
    assert shown[1].out.split()[:3] == [made, "active", "from"]
    assert json.loads(shown[2].out)["keys"][0]["keyid"] == made
    assert "is not in the keyring" in cli("keys", "show", "--keyring", "keyring.json", "--pem", "a" * 64).error


def test_rotation_keeps_old_certificates_and_revoking_does_not(
    cli: Cli, made: str, tmp_path: Path, make_statement: Callable[..., Statement]
) -> None:
    """A key is made, signs, is retired for another; what it signed verifies until it is revoked."""

    def outcome(name: str) -> int:
        return int(cli("verify", f"{name}.json", "--keyring", "keyring.json").code)

    now = datetime.now(UTC)
    for name, issued in (("old", now), ("late", now + timedelta(hours=2))):
        data = statement.to_bytes(make_statement(issued=issued.isoformat()))
        (tmp_path / f"{name}.json").write_bytes(dsse.sign(data, [keys.signing_key()]))
    assert cli("keys", "new", "--out", "next.pem", "--keyring", "keyring.json").code == 0
    assert (outcome("old"), outcome("late")) == (0, 0)
    end = f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    retired = cli("keys", "retire", made, "--keyring", "keyring.json", "--at", end)
    assert retired.code == 0
    assert (
        f"retired   from {keyring.load(tmp_path / 'keyring.json').keys[0].not_before:%Y-%m-%dT%H:%M:%SZ} until {end}"
        in (retired.out)
    )
    assert (outcome("old"), outcome("late")) == (0, 3)
    assert cli("keys", "retire", made, "--keyring", "keyring.json", "--revoke").code == 0
    assert (outcome("old"), outcome("late")) == (3, 3)
    assert [key.status for key in keyring.load(tmp_path / "keyring.json").keys] == ["revoked", "active"]


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("a" * 64,), "is not in the keyring"),
        (("KEY", "--at", "yesterday"), "time 'yesterday' is not understood"),
        (("KEY", "--at", "2026-01-31T12:00:00"), "is not understood"),
        (("KEY", "--at", "2001-01-01T00:00:00Z"), "retire it after that"),
    ],
)
def test_retiring_what_cannot_be_is_told(
    cli: Cli, made: str, tmp_path: Path, arguments: tuple[str, ...], wrong: str
) -> None:
    before = (tmp_path / "keyring.json").read_bytes()
    answer = cli(
        "keys", "retire", *(made if each == "KEY" else each for each in arguments), "--keyring", "keyring.json"
    )
    assert answer.code == 2
    assert wrong in answer.error
    assert (tmp_path / "keyring.json").read_bytes() == before


def test_without_a_key_it_says_what_to_set(cli: Cli, made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(keys.KEY_FILE)
    assert "no signing key: set UNLEARNING_SIGNING_KEY_FILE" in cli("keys", "show").error
