from __future__ import annotations

import pytest

from unlearning.core.private_fields import SHA256

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize("text", [DIGEST, DIGEST.upper(), f"id_{DIGEST}_x", f"({DIGEST})", DIGEST * 2])
def test_a_digest_is_found_whatever_stands_beside_it(text: str) -> None:
    assert DIGEST not in SHA256.sub("", text.lower())


@pytest.mark.parametrize("text", [DIGEST[1:], DIGEST[:40], f"{DIGEST[:32]} {DIGEST[32:]}", ""])
def test_what_is_shorter_is_none(text: str) -> None:
    assert SHA256.search(text) is None
