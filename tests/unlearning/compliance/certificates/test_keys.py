from __future__ import annotations

import base64
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from unlearning.compliance.certificates import keys
from unlearning.core.errors import UserError


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (keys.KEY, keys.KEY_FILE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "signing.pem"
    keys.write_private(keys.new(), path)
    return path


def test_the_id_is_the_one_openssl_computes(pem: Path, tmp_path: Path) -> None:
    """RFC 8410: the last 32 bytes of the key in DER are the key itself."""
    command = ["openssl", "pkey", "-in", str(pem), "-pubout", "-outform", "DER"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout[-32:]
    assert raw == keys.raw_public(keys.load_private(pem))
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=raw, capture_output=True, check=True)
    assert digest.stdout.decode().split()[0] == keys.keyid(raw)
    (tmp_path / "public.pem").write_text(keys.public_pem(raw))
    assert keys.load_public(tmp_path / "public.pem") == raw


def test_a_known_key_has_the_published_public_key() -> None:
    """RFC 8032, section 7.1, test 1."""
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert keys.raw_public(Ed25519PrivateKey.from_private_bytes(secret)) == public


def test_the_keyring_is_looked_for_beside_the_file_of_the_key(pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys.keyring_beside() is None
    monkeypatch.setenv(keys.KEY_FILE, str(pem))
    assert keys.keyring_beside() is None
    beside = pem.with_name(keys.KEYRING_FILE)
    beside.write_text("{}")
    assert keys.keyring_beside() == beside
    monkeypatch.setenv(keys.KEY_FILE, "")
    assert keys.keyring_beside() is None


def test_only_the_owner_may_read_a_new_key_and_nothing_is_overwritten(pem: Path) -> None:
    before = pem.read_bytes()
    assert stat.S_IMODE(pem.stat().st_mode) == 0o600
    with pytest.raises(UserError, match="exists: a key is never written over another"):
        keys.write_private(keys.new(), pem)
    assert pem.read_bytes() == before


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o400, False), (0o644, True)])
def test_a_key_that_everybody_can_read_is_warned_about(
    pem: Path, mode: int, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    pem.chmod(mode)
    keys.load_private(pem)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (f"warning: signing key {pem} can be read by everybody: chmod 600 {pem}\n" if warned else "")


def test_in_a_pod_nobody_else_is_there_to_read_it(
    pem: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pem.chmod(0o644)
    monkeypatch.setenv(keys.IN_A_POD, "10.0.0.1")
    keys.load_private(pem)
    assert capsys.readouterr().err == ""


def test_the_key_comes_from_a_file_or_from_a_secret(pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = keys.raw_public(keys.load_private(pem))
    with pytest.raises(UserError, match="no signing key: set UNLEARNING_SIGNING_KEY_FILE"):
        keys.signing_key()
    monkeypatch.setenv(keys.KEY_FILE, str(pem))
    assert keys.raw_public(keys.signing_key()) == expected
    monkeypatch.setenv(keys.KEY, pem.read_text())
    with pytest.raises(UserError, match=r"both .* are set"):
        keys.signing_key()
    monkeypatch.delenv(keys.KEY_FILE)
    assert keys.raw_public(keys.signing_key()) == expected


def other_keys() -> dict[str, bytes]:
    plain, own = serialization.NoEncryption(), serialization.BestAvailableEncryption(b"x")
    form, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    elliptic, ours = ec.generate_private_key(ec.SECP256R1()), keys.new()
    return {
        "is not an Ed25519 key": elliptic.private_bytes(form, pkcs8, plain),
        "has a password": ours.private_bytes(form, pkcs8, own),
        "is not a PEM private key": keys.public_pem(keys.raw_public(ours)).encode(),
    }


@pytest.mark.parametrize("wrong", other_keys())
def test_another_key_is_told_in_one_line_that_does_not_quote_it(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = other_keys()[wrong]
    (tmp_path / "key.pem").write_bytes(text)
    with pytest.raises(UserError, match=wrong) as from_file:
        keys.load_private(tmp_path / "key.pem")
    monkeypatch.setenv(keys.KEY, text.decode())
    with pytest.raises(UserError, match=wrong) as from_environment:
        keys.signing_key()
    for caught in (from_file, from_environment):
        assert "\n" not in str(caught.value)
        assert not any(line in str(caught.value) for line in text.decode().splitlines()[1:-1])


@pytest.mark.parametrize("damage", [slice(0, 40), slice(40, None), slice(0, 0)])
def test_a_damaged_key_is_told(pem: Path, damage: slice) -> None:
    pem.write_bytes(pem.read_bytes()[damage])
    with pytest.raises(UserError, match="is not a PEM private key"):
        keys.load_private(pem)


def test_a_missing_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"signing key .*gone\.pem cannot be read"):
        keys.load_private(tmp_path / "gone.pem")
    with pytest.raises(UserError, match=r"public key .*gone\.pem cannot be read"):
        keys.load_public(tmp_path / "gone.pem")


def test_a_private_key_or_another_kind_is_no_public_key(pem: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a PEM public key: give the signer's, not a private one"):
        keys.load_public(pem)
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "ec.pem").write_bytes(elliptic.public_bytes(serialization.Encoding.PEM, form))
    with pytest.raises(UserError, match="is not an Ed25519 key"):
        keys.load_public(tmp_path / "ec.pem")


def test_two_new_keys_differ() -> None:
    raw = {keys.raw_public(keys.new()) for _ in range(3)}
    assert len(raw) == 3
    assert all(len(base64.b64encode(each)) == 44 for each in raw)
