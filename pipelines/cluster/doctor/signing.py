"""Whether there is a key to sign certificates with, and readers have its public half."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pipelines.cluster.doctor.findings import Finding
from unlearning.compliance.certificates import keyring, keys


def signing(ring: Path | None) -> Iterator[Finding]:
    """Load the key that the environment names, and look for it in a keyring where one is given.

    Raises:
        UserError: the key or the keyring cannot be read.
    """
    if not (os.environ.get(keys.KEY_FILE) or os.environ.get(keys.KEY)):
        found = f"neither {keys.KEY_FILE} nor {keys.KEY} is set here"
        yield Finding(check="signing key", state="unknown", found=found)
        return
    name = keys.keyid(keys.raw_public(keys.signing_key()))
    if ring is None:
        yield Finding(
            check="signing key", state="ok", found=f"key {name[:12]}; give --keyring to look whether it counts"
        )
        return
    known = keyring.load(ring).find(name)
    refusal = "is not in it" if known is None else known.refusal(datetime.now(UTC))
    if refusal:
        do = "what it signs would not verify: see unlearn keys --help"
        yield Finding(check="signing key", state="failed", found=f"key {name[:12]}, {ring}: {refusal}", do=do)
    else:
        yield Finding(check="signing key", state="ok", found=f"key {name[:12]} counts by {ring}")
