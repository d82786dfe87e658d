from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.cluster.doctor.signing import signing
from unlearning.compliance.certificates import keyring, keys
from unlearning.compliance.certificates.keyring import Keyring
from unlearning.core.errors import UserError

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A key that the environment names; a keyring beside it trusts it."""
    key = keys.new()
    keys.write_private(key, tmp_path / "key.pem")
    monkeypatch.delenv(keys.KEY, raising=False)
    monkeypatch.setenv(keys.KEY_FILE, str(tmp_path / "key.pem"))
    ring = Keyring(keys=(keyring.trusted(keys.raw_public(key), NOW - timedelta(days=2)),))
    keyring.save(ring, tmp_path / "keyring.json")
    return keys.keyid(keys.raw_public(key))


def test_no_key_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(keys.KEY, raising=False)
    monkeypatch.delenv(keys.KEY_FILE, raising=False)
    (finding,) = signing(None)
    assert finding.state == "unknown"


def test_a_key_that_counts(name: str, tmp_path: Path) -> None:
    for ring in (None, tmp_path / "keyring.json"):
        (finding,) = signing(ring)
        assert (finding.state, name[:12] in finding.found) == ("ok", True)


def test_a_key_that_readers_do_not_trust(name: str, tmp_path: Path) -> None:
    ring = keyring.load(tmp_path / "keyring.json")
    for status in ("retired", "revoked"):
        keyring.save(ring.without(name, status=status, at=NOW - timedelta(days=1)), tmp_path / "other.json")
        (finding,) = signing(tmp_path / "other.json")
        assert (finding.state, bool(finding.do)) == ("failed", True)
    untrusted = keyring.trusted(keys.raw_public(keys.new()))
    keyring.save(Keyring(keys=(untrusted,)), tmp_path / "other.json")
    (finding,) = signing(tmp_path / "other.json")
    assert (finding.state, "is not in it" in finding.found) == ("failed", True)


def test_a_key_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("nothing")
    with pytest.raises(UserError):
        list(signing(None))
