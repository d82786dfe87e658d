from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearning.compliance.certificates import keyring, keys
from unlearning.compliance.certificates.keyring import Keyring, TrustedKey
from unlearning.core.errors import UserError

START = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(2025, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RAW = keys.raw_public(keys.new())
OTHER = keys.raw_public(keys.new())


def test_a_keyring_is_read_as_it_was_written(tmp_path: Path) -> None:
    ring = Keyring(keys=(keyring.trusted(RAW, START), keyring.trusted(OTHER)))
    ring = ring.without(keys.keyid(RAW), status="retired", at=END)
    keyring.save(ring, tmp_path / "keyring.json")
    read = keyring.load(tmp_path / "keyring.json")
    assert read == ring
    assert read.keys[0].raw == RAW
    assert read.find(keys.keyid(OTHER)) == keyring.trusted(OTHER)
    assert read.find("a" * 64) is None


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda it: it["keys"][0].update(keyid="a" * 64), "do not belong together"),
        (lambda it: it["keys"][0].update(public_key="AAAA"), "do not belong together"),
        (lambda it: it["keys"][0].update(public_key="not base64"), "keys.0"),
        (lambda it: it["keys"][0].update(status="retired"), "a retired key needs not_after"),
        (lambda it: it["keys"][0].update(status="lost"), "keys.0.status"),
        (lambda it: it["keys"][0].update(not_before="2024-01-01T00:00:00"), "timezone"),
        (lambda it: it["keys"][0].update(not_after="2023-01-01T00:00:00Z"), "not_after is before not_before"),
        (lambda it: it.update(keys=it["keys"] * 2), "a key is listed twice"),
        (lambda it: it.update(more=1), "more"),
    ],
)
def test_a_wrong_keyring_is_told_in_one_line(change: Callable[[Any], Any], wrong: str, tmp_path: Path) -> None:
    keyring.save(Keyring(keys=(keyring.trusted(RAW, START),)), tmp_path / "keyring.json")
    document = json.loads((tmp_path / "keyring.json").read_text())
    change(document)
    (tmp_path / "keyring.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=wrong) as caught:
        keyring.load(tmp_path / "keyring.json")
    assert "\n" not in str(caught.value)


def test_a_key_is_added_once() -> None:
    ring = Keyring(keys=()).with_key(keyring.trusted(RAW))
    with pytest.raises(UserError, match="in the keyring already"):
        ring.with_key(keyring.trusted(RAW, START))


@given(st.integers(-800, 800), st.booleans(), st.booleans())
def test_a_key_signs_within_its_period(days: int, begins: bool, ends: bool) -> None:
    given = {"not_before": START if begins else None, "not_after": END if ends else None}
    key = TrustedKey.model_validate(keyring.trusted(RAW).model_dump() | given)
    issued = START + days * DAY
    too_early, too_late = begins and days < 0, ends and days > 366
    assert (key.refusal(issued) is not None) == (too_early or too_late)


def test_retiring_ends_the_period_and_never_moves_its_end_back_out() -> None:
    ring = Keyring(keys=(keyring.trusted(RAW, START), keyring.trusted(OTHER)))
    retired = ring.without(keys.keyid(RAW), status="retired", at=END)
    assert [(key.status, key.not_after) for key in retired.keys] == [("retired", END), ("active", None)]
    again = retired.without(keys.keyid(RAW), status="retired", at=END + DAY)
    assert again.keys[0].not_after == END
    with pytest.raises(UserError, match="retire it after that"):
        ring.without(keys.keyid(RAW), status="retired", at=START - DAY)
    with pytest.raises(UserError, match="is not in the keyring"):
        ring.without("a" * 64, status="retired", at=END)


def test_revoking_is_for_good_and_for_all_times() -> None:
    ring = Keyring(keys=(keyring.trusted(RAW, START),)).without(keys.keyid(RAW), status="revoked", at=END)
    assert ring.keys[0].refusal(START + DAY) == "it was revoked"
    with pytest.raises(UserError, match="was revoked, which is for good"):
        ring.without(keys.keyid(RAW), status="retired", at=END)


def test_the_signer_must_count_by_the_keyring_beside_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    key, path = keys.new(), tmp_path / "signing.pem"
    monkeypatch.delenv(keys.KEY, raising=False)
    monkeypatch.setenv(keys.KEY_FILE, str(path))
    with pytest.raises(UserError, match=r"signing key .* cannot be read"):
        keyring.signer(now)
    keys.write_private(key, path)
    assert keys.raw_public(keyring.signer(now)) == keys.raw_public(key), "nothing is published"
    ring = Keyring(keys=(keyring.trusted(keys.raw_public(key), now - timedelta(days=9)),))
    keyring.save(ring, tmp_path / keys.KEYRING_FILE)
    assert keys.raw_public(keyring.signer(now)) == keys.raw_public(key)
    name = keys.keyid(keys.raw_public(key))
    keyring.save(ring.without(name, status="retired", at=now - timedelta(days=1)), tmp_path / keys.KEYRING_FILE)
    with pytest.raises(UserError, match=f"signing key {name[:12]} does not count by .*: it signed until 2026-04-30"):
        keyring.signer(now)
    keyring.save(Keyring(keys=(keyring.trusted(keys.raw_public(keys.new())),)), tmp_path / keys.KEYRING_FILE)
    with pytest.raises(UserError, match="it is not in it"):
        keyring.signer(now)
