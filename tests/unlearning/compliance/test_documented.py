"""docs/certificates.md does what it says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unlearning.compliance.certificates import dsse, keys
from unlearning.compliance.certificates import statement as certificates
from unlearning.compliance.certificates.statement import Statement

PAGE = (Path(__file__).parents[3] / "docs" / "certificates.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.mark.parametrize("altered", [False, True])
def test_checking_by_hand_works_as_documented(
    altered: bool, tmp_path: Path, make_statement: Callable[..., Statement]
) -> None:
    key = keys.new()
    raw = keys.raw_public(key)
    data = dsse.sign(certificates.to_bytes(make_statement()), [key])
    if altered:
        document = json.loads(data)
        document["payload"] = document["payload"].replace("A", "B", 1)
        data = json.dumps(document, separators=(",", ":")).encode()
    (tmp_path / "certificate.json").write_bytes(data)
    (tmp_path / "signing.pub.pem").write_text(keys.public_pem(raw))
    done = subprocess.run(["bash", "-c", block("bash")], cwd=tmp_path, capture_output=True, text=True)
    assert ("Signature Verified Successfully" in done.stdout) is not altered
    assert done.stdout.splitlines()[-1].split()[0] == keys.keyid(raw)


def filled(value: Any) -> Any:
    """The example with the digests that it shortens."""
    if isinstance(value, dict):
        return {key: filled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item) for item in value]
    return value[0] * 64 if isinstance(value, str) and re.fullmatch(r"(\w)\1{3}…", value) else value


def test_the_example_is_a_certificate() -> None:
    statement = Statement.model_validate(filled(json.loads(block("json"))))
    assert certificates.parse(certificates.to_bytes(statement)) == statement
