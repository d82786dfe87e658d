from __future__ import annotations

from pathlib import Path

from unlearning.compliance.certificates import uncertified
from unlearning.storage.local import LocalStore


def test_the_latest_reason_is_kept_until_there_is_a_certificate(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert uncertified.reason(store, "R1") == ""
    for why in ("MLflow is away", "model m has no audit in MLflow"):
        uncertified.note(store, "R1", why)
        assert uncertified.reason(store, "R1") == why
        assert uncertified.reason(store, "R2") == ""
    uncertified.note(store, "R1", "")
    assert uncertified.reason(store, "R1") == ""
