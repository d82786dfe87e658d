from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from unlearning.compliance.certificates import dsse, keyring, keys
from unlearning.compliance.certificates import statement as certificates
from unlearning.compliance.certificates.keyring import Keyring
from unlearning.compliance.certificates.statement import Statement
from unlearning.compliance.certificates.verification import Verification, verify
from unlearning.core.errors import UserError
from unlearning.core.files import canonical_json

Make = Callable[..., Statement]
FIRST, SECOND, UNTRUSTED = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3))
START = datetime(2024, 1, 1, tzinfo=UTC)
ISSUED = datetime(2024, 6, 12, 9, tzinfo=UTC)
CHECKS = ["form", "signature", "key validity", "schema", "digests"]


def ring(*signers: Ed25519PrivateKey) -> Keyring:
    return Keyring(keys=tuple(keyring.trusted(keys.raw_public(key), START) for key in signers))


def name_of(key: Ed25519PrivateKey) -> str:
    return keys.keyid(keys.raw_public(key))


def failed(found: Verification) -> list[str]:
    assert not found.verified
    assert found.statement is None
    return [check.name for check in found.checks if not check.passed]


@pytest.fixture(scope="module")
def statement(make_statement: Make) -> Statement:
    return make_statement("unlearned", "never_trained")


@pytest.fixture(scope="module")
def data(statement: Statement) -> bytes:
    return dsse.sign(certificates.to_bytes(statement), [FIRST])


def test_a_genuine_certificate_verifies_and_says_what_it_states(statement: Statement, data: bytes) -> None:
    found = verify(data, ring(UNTRUSTED, FIRST))
    assert found.verified
    assert [check.name for check in found.checks] == CHECKS
    assert all(check.passed for check in found.checks)
    assert found.statement == statement
    assert found.sha256 == sha256(data).hexdigest()


def passes(data: bytes, trusted: Keyring) -> bool:
    try:
        return verify(data, trusted).verified
    except UserError:
        return False


@pytest.mark.parametrize(
    ("how", "signers"),
    [("unlearned", [FIRST]), ("never_trained", [FIRST, SECOND])],
    ids=["one signature", "two signatures"],
)
def test_no_byte_of_the_file_can_change(make_statement: Make, how: str, signers: list[Ed25519PrivateKey]) -> None:
    """Every byte gets a bit flipped, another one at each place, and so every bit is flipped somewhere."""
    data = dsse.sign(certificates.to_bytes(make_statement(how)), signers)
    trusted = ring(FIRST, SECOND)
    assert passes(data, trusted)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << (place % 8)
        assert not passes(bytes(changed), trusted), place


def test_outside_the_payload_no_bit_can_change(make_statement: Make) -> None:
    data, trusted = dsse.sign(certificates.to_bytes(make_statement("never_trained")), [FIRST]), ring(FIRST)
    assert passes(data, trusted)
    payload = range(data.index(b'"payload":"') + 11, data.index(b'","payloadType"'))
    for place in set(range(len(data))) - set(payload):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            assert not passes(bytes(changed), trusted), (place, bit)


@given(draw=st.data())
def test_nothing_can_be_put_in_taken_out_or_replaced(data: bytes, draw: st.DataObject) -> None:
    place = draw.draw(st.integers(0, len(data)))
    taken = draw.draw(st.integers(0, 4))
    put = draw.draw(st.binary(max_size=4) | st.sampled_from([b" ", b"\n", b"\t", b"=", b"\\u0061", b","]))
    changed = data[:place] + put + data[place + taken :]
    assert passes(changed, ring(FIRST)) == (changed == data)


@pytest.mark.parametrize(
    "spelled",
    [
        lambda document: json.dumps(document).encode() + b"\n",
        lambda document: canonical_json(document).encode(),
        lambda document: canonical_json(document).encode() + b"\r\n",
        lambda document: json.dumps(document, separators=(",", ":"), sort_keys=False).encode() + b"\n",
        lambda document: b"\xef\xbb\xbf" + canonical_json(document).encode() + b"\n",
        lambda document: canonical_json(document).replace("payloadType", "payloadTyp\\u0065").encode() + b"\n",
        lambda document: canonical_json(document).replace("{", '{"payload":"",', 1).encode() + b"\n",
    ],
    ids=["spaces", "no line break", "another line break", "order", "byte order mark", "escape", "key twice"],
)
def test_another_spelling_of_the_same_envelope_does_not_pass(spelled: Callable[[Any], bytes], data: bytes) -> None:
    document = dict(reversed(json.loads(data).items()))
    changed = spelled(document)
    assert changed != data
    assert not passes(changed, ring(FIRST))


def test_base64_with_other_bits_left_over_does_not_pass(make_statement: Make) -> None:
    """A signature of 64 bytes leaves four bits of its last letter unused."""
    data = dsse.sign(certificates.to_bytes(make_statement()), [FIRST])
    end = data.index(b'=="}')
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for letter in alphabet:
        changed = data[: end - 1] + bytes([letter]) + data[end:]
        same = base64.b64decode(json.loads(changed)["signatures"][0]["sig"])
        assert passes(changed, ring(FIRST)) == (changed == data)
        assert len(same) == 64


def test_what_somebody_else_signed_is_refused(statement: Statement) -> None:
    data = dsse.sign(certificates.to_bytes(statement), [UNTRUSTED])
    found = verify(data, ring(FIRST))
    assert failed(found) == ["signature", "key validity"]
    assert f"key {name_of(UNTRUSTED)} is not trusted" in found.checks[1].detail


def test_a_forger_cannot_take_a_trusted_keys_name(statement: Statement) -> None:
    forged = json.loads(dsse.sign(certificates.to_bytes(statement), [UNTRUSTED]))
    forged["signatures"][0]["keyid"] = name_of(FIRST)
    assert failed(verify(canonical_json(forged).encode() + b"\n", ring(FIRST))) == ["signature", "key validity"]


def test_signatures_cannot_be_swapped(statement: Statement) -> None:
    document = json.loads(dsse.sign(certificates.to_bytes(statement), [FIRST, SECOND]))
    one, two = document["signatures"]
    one["sig"], two["sig"] = two["sig"], one["sig"]
    found = verify(canonical_json(document).encode() + b"\n", ring(FIRST, SECOND))
    assert failed(found) == ["signature", "signature", "key validity", "key validity"]


def test_a_statement_that_was_altered_is_refused(statement: Statement, data: bytes) -> None:
    document = json.loads(data)
    payload = base64.b64decode(document["payload"]).replace(b'"outcome":"passed"', b'"outcome":"leaked"')
    document["payload"] = base64.b64encode(payload).decode()
    found = verify(canonical_json(document).encode() + b"\n", ring(FIRST))
    assert failed(found) == ["signature", "key validity", "schema"]


def signed_as(kind: str, payload: bytes, key: Ed25519PrivateKey = FIRST) -> bytes:
    """By another signer of this format, who may sign anything."""
    encoded = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind.encode(), str(len(payload)).encode(), payload])
    signature = {"keyid": name_of(key), "sig": base64.b64encode(key.sign(encoded)).decode()}
    document = {"payload": base64.b64encode(payload).decode(), "payloadType": kind, "signatures": [signature]}
    return canonical_json(document).encode() + b"\n"


def test_an_unknown_payload_type_is_refused_though_signed(statement: Statement) -> None:
    payload = certificates.to_bytes(statement)
    assert verify(signed_as(dsse.PAYLOAD_TYPE, payload), ring(FIRST)).verified
    assert failed(verify(signed_as("application/json", payload), ring(FIRST))) == ["form", "key validity"]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda it: it.update(predicateType="https://slsa.dev/provenance/v1"), ["schema"]),
        (lambda it: it.update(_type="https://in-toto.io/Statement/v0.1"), ["schema"]),
        (lambda it: it.update(note="x"), ["schema"]),
        (lambda it: it["predicate"].pop("ledger"), ["schema"]),
        (lambda it: it["subject"].pop(), ["schema"]),
        (lambda it: it["subject"][0]["digest"].update(sha256="9" * 64), ["schema"]),
        (lambda it: it["subject"][0]["digest"].update(sha256="A" * 64), ["schema", "digests"]),
        (lambda it: it["predicate"]["ledger"].update(sha256="d" * 63), ["schema", "digests"]),
        (lambda it: it["predicate"].update(legal_basis="f" * 64), ["schema", "digests"]),
        (lambda it: it["predicate"]["times"].update(issued="2024-06-12T11:00:00+02:00"), ["schema"]),
    ],
)
def test_what_is_no_such_statement_is_refused_though_signed(
    statement: Statement, change: Callable[[Any], Any], wrong: list[str]
) -> None:
    document = json.loads(certificates.to_bytes(statement))
    change(document)
    found = verify(signed_as(dsse.PAYLOAD_TYPE, canonical_json(document).encode()), ring(FIRST))
    assert failed(found) == ["key validity", *wrong]


@pytest.mark.parametrize("payload", [b"", b"null", b"{", b"[1]", b"\xff", b'{"a":' * 5000, b'{"a":NaN}'])
def test_what_is_no_statement_at_all_is_refused_though_signed(payload: bytes) -> None:
    assert "schema" in failed(verify(signed_as(dsse.PAYLOAD_TYPE, payload), ring(FIRST)))


def test_a_payload_type_that_cannot_be_encoded_is_refused(data: bytes) -> None:
    document = json.loads(data) | {"payloadType": "\ud800"}
    spelled = json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    assert failed(verify(spelled, ring(FIRST)))[:2] == ["form", "signature"]


def test_details_are_one_printable_line(statement: Statement) -> None:
    document = json.loads(certificates.to_bytes(statement)) | {"\x1b[31m\n": 1}
    found = verify(signed_as(dsse.PAYLOAD_TYPE, canonical_json(document).encode()), ring(FIRST))
    assert failed(found)
    assert all(check.detail.isprintable() for check in found.checks)


@pytest.mark.parametrize(
    ("moment", "in_period"),
    [(-1, False), (0, True), (1, True), (99, True), (100, True), (101, False)],
)
def test_a_key_counts_in_its_period_only(make_statement: Make, moment: int, in_period: bool) -> None:
    issued = ISSUED + timedelta(seconds=moment)
    data = dsse.sign(certificates.to_bytes(make_statement(issued=issued.isoformat())), [FIRST])
    key = keyring.trusted(keys.raw_public(FIRST), ISSUED)
    trusted = Keyring(keys=(key,)).without(key.keyid, status="retired", at=ISSUED + timedelta(seconds=100))
    found = verify(data, trusted)
    assert found.verified == in_period
    if not in_period:
        assert failed(found) == ["key validity"]


def test_a_retired_key_keeps_verifying_and_a_revoked_one_does_not(data: bytes) -> None:
    trusted = ring(FIRST, SECOND)
    later = ISSUED + timedelta(days=30)
    assert verify(data, trusted.without(name_of(FIRST), status="retired", at=later)).verified
    found = verify(data, trusted.without(name_of(FIRST), status="revoked", at=later))
    assert failed(found) == ["key validity"]
    assert "revoked" in found.checks[2].detail


def test_two_signatures_both_count(statement: Statement) -> None:
    data = dsse.sign(certificates.to_bytes(statement), [FIRST, SECOND])
    found = verify(data, ring(FIRST, SECOND))
    assert found.verified
    assert [check.name for check in found.checks] == [
        "form", "signature", "signature", "key validity", "key validity", "schema", "digests",
    ]  # fmt: skip
    assert failed(verify(data, ring(FIRST))) == ["signature", "key validity", "key validity"]
    revoked = ring(FIRST, SECOND).without(name_of(SECOND), status="revoked", at=ISSUED)
    assert failed(verify(data, revoked)) == ["key validity"]


def test_the_same_signature_twice_is_refused(data: bytes) -> None:
    document = json.loads(data)
    document["signatures"] *= 2
    assert failed(verify(canonical_json(document).encode() + b"\n", ring(FIRST)))[0] == "form"


def test_an_empty_keyring_trusts_nobody(data: bytes) -> None:
    assert failed(verify(data, ring())) == ["signature", "key validity"]
