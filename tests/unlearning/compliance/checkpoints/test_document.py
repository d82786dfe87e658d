from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest

from unlearning.compliance.certificates import dsse, keys
from unlearning.compliance.certificates.keyring import Keyring, trusted
from unlearning.compliance.checkpoints.document import Leaf, TreeHead, parse, sign
from unlearning.core.errors import UserError

NOW = datetime(2024, 6, 10, 12, tzinfo=UTC)
LEAVES = (Leaf("ledger/C-1/00000001.json", "a" * 64), Leaf("certificates/C-1/1.json", "b" * 64))


def made(key: keys.PrivateKey) -> bytes:
    stated = TreeHead(number=1, at=NOW, previous="0" * 64, size=2, root="c" * 64)
    return sign(stated, LEAVES, key).bytes()


def test_what_is_written_is_read() -> None:
    document = parse(made(keys.new()))
    assert (document.leaves, document.checkpoint.name) == (LEAVES, "checkpoint 1 of 2024-06-10 12:00 UTC")
    assert document.bytes().splitlines()[1:] == [each.line for each in LEAVES]
    assert LEAVES[0].line == b"a" * 64 + b"  ledger/C-1/00000001.json"


def test_no_byte_of_the_signed_line_can_change() -> None:
    key = keys.new()
    keyring, data = Keyring(keys=(trusted(keys.raw_public(key)),)), made(key)
    assert parse(data).refusal(keyring) == ""
    for place in range(data.index(b"\n") + 1):
        changed = data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :]
        with suppress(UserError):
            assert parse(changed).refusal(keyring), place


@pytest.mark.parametrize(
    "data",
    [b"", b"{}\n", made(keys.new())[:-1], made(keys.new()) + b"x\n", made(keys.new()).replace(b"  ledger", b" ledger")],
)
def test_what_is_no_checkpoint(data: bytes) -> None:
    with pytest.raises(UserError, match=r"^it is not (a checkpoint, or damaged|in canonical form, byte for byte)$"):
        parse(data)


def test_a_certificate_is_no_checkpoint_although_the_same_key_signed_it() -> None:
    key = keys.new()
    payload = dsse.decoded(parse(made(key)).envelope.payload)
    with pytest.raises(UserError, match="canonical"):
        parse(dsse.sign(payload, [key]))


def test_a_key_counts_in_its_period() -> None:
    key = keys.new()
    document, raw = parse(made(key)), keys.raw_public(key)
    assert "which is not trusted" in document.refusal(Keyring(keys=()))
    retired = Keyring(keys=(trusted(raw),)).without(keys.keyid(raw), status="retired", at=NOW)
    assert document.refusal(retired) == ""
    assert "it signs from" in document.refusal(Keyring(keys=(trusted(raw, NOW.replace(hour=13)),)))
