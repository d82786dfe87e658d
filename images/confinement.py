"""Run inside a container, by its text: fails unless the process is as confined as the manifests want it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

READ_ONLY = ("/", "/opt", "/opt/unlearning", "/usr", "/etc", "/var")


def writable(folder: str) -> bool:
    """Whether a file can be made there."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def problems() -> list[str]:
    """What is not as it should be."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    wrong = {
        "it runs as root": 0 in (os.getuid(), os.getgid(), *os.getgroups()),
        "it has capabilities": int(status["CapEff"], 16) != 0,
        "it may gain privileges": status["NoNewPrivs"].strip() != "1",
        "/tmp cannot be written to": not writable("/tmp"),  # noqa: S108 - the one volume there is
    }
    return [f"{folder} can be written to" for folder in READ_ONLY if writable(folder)] + [
        text for text, is_so in wrong.items() if is_so
    ]


if __name__ == "__main__":
    sys.exit("; ".join(problems()) or 0)
