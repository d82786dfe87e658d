from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from unlearning.compliance.certificates import dsse, keys
from unlearning.core.errors import UserError

PUBLISHED: dict[str, Any] = {  # https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, test vectors
    "payload": "aGVsbG8gd29ybGQ=",
    "payloadType": "http://example.com/HelloWorld",
    "sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==",
    "x": 46950820868899156662930047687818585632848591499744589407958293238635476079160,
    "y": 5640078356564379163099075877009565129882514886557779369047442380624545832820,
}


def independent_pae(kind: str, body: bytes) -> bytes:
    parts = [b"DSSEv1", str(len(kind.encode())).encode(), kind.encode(), str(len(body)).encode(), body]
    return b" ".join(parts)


def test_what_is_signed_is_the_published_example() -> None:
    payload = base64.b64decode(PUBLISHED["payload"])
    encoded = dsse.pae(PUBLISHED["payloadType"], payload)
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_published_signature_is_over_our_encoding() -> None:
    """By ECDSA, as published: that the algorithm is another does not matter to the encoding."""
    signature = base64.b64decode(PUBLISHED["sig"])
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    numbers = ec.EllipticCurvePublicNumbers(PUBLISHED["x"], PUBLISHED["y"], ec.SECP256R1())
    encoded = dsse.pae("http://example.com/HelloWorld", b"hello world")
    numbers.public_key().verify(encode_dss_signature(r, s), encoded, ec.ECDSA(SHA256()))


@pytest.mark.parametrize(
    ("kind", "body", "encoded"),
    [
        ("", b"", b"DSSEv1 0  0 "),
        ("é", b"\x00 ", "DSSEv1 2 é 2 \x00 ".encode()),
        ("a b", b"1 c", b"DSSEv1 3 a b 3 1 c"),
    ],
)
def test_lengths_are_those_of_bytes(kind: str, body: bytes, encoded: bytes) -> None:
    assert dsse.pae(kind, body) == encoded


@given(st.binary(max_size=200), st.integers(1, 3))
def test_what_was_signed_is_read_back_and_holds(payload: bytes, count: int) -> None:
    signers = [keys.new() for _ in range(count)]
    data = dsse.sign(payload, signers)
    envelope = dsse.read(data)
    assert dsse.spelled(envelope) == data
    assert dsse.decoded(envelope.payload) == payload
    assert [each.keyid for each in envelope.signatures] == sorted(keys.keyid(keys.raw_public(key)) for key in signers)
    raw = {keys.keyid(keys.raw_public(key)): keys.raw_public(key) for key in signers}
    for each in envelope.signatures:
        assert dsse.is_signed(envelope, each, raw[each.keyid])
        others = [other for name, other in raw.items() if name != each.keyid]
        assert not any(dsse.is_signed(envelope, each, other) for other in others)


def test_the_signature_is_the_one_computed_independently() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    document = json.loads(dsse.sign(b"{}", [key]))
    (signature,) = document["signatures"]
    expected = key.sign(independent_pae("application/vnd.in-toto+json", b"{}"))
    assert base64.b64decode(signature["sig"]) == expected
    assert document["payload"] == "e30="
    assert document["payloadType"] == "application/vnd.in-toto+json"


def test_openssl_agrees(tmp_path: Path) -> None:
    key = keys.new()
    document = json.loads(dsse.sign(b'{"a":1}', [key]))
    (tmp_path / "public.pem").write_text(keys.public_pem(keys.raw_public(key)))
    (tmp_path / "signed").write_bytes(independent_pae(document["payloadType"], b'{"a":1}'))
    (tmp_path / "signature").write_bytes(base64.b64decode(document["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "signed"]
    done = subprocess.run([*command, "-sigfile", "signature"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "Signature Verified Successfully")


@pytest.mark.parametrize("count", [0, 9])
def test_one_to_eight_keys_sign(count: int) -> None:
    with pytest.raises(UserError, match=f"cannot sign with {count} keys"):
        dsse.sign(b"{}", [keys.new() for _ in range(count)])


def test_a_key_signs_once() -> None:
    key = keys.new()
    with pytest.raises(UserError, match="different ones"):
        dsse.sign(b"{}", [key, key])


ENVELOPE: dict[str, Any] = {"payload": "e30=", "payloadType": "x", "signatures": [{"keyid": "a", "sig": "b"}]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b"9" * 5000,
        b" " * (dsse.LARGEST + 1),
        json.dumps(ENVELOPE | {"signatures": []}).encode(),
        json.dumps(ENVELOPE | {"more": 1}).encode(),
        json.dumps(ENVELOPE | {"signatures": ENVELOPE["signatures"] * 9}).encode(),
        json.dumps(ENVELOPE).encode("utf-16"),
    ],
)
def test_what_is_no_envelope_is_told_in_one_line(data: bytes) -> None:
    with pytest.raises(UserError, match="so it is not a certificate"):
        dsse.read(data)


@pytest.mark.parametrize("text", ["e31=", "e30", "e30=\n", " e30=", "e3-_", "é", "e30=e30=", "="])
def test_base64_has_one_spelling(text: str) -> None:
    """`e31=` says what `e30=` says, to whoever ignores the bits left over."""
    with pytest.raises(UserError, match="not base64"):
        dsse.decoded(text)
