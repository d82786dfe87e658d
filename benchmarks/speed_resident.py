"""Resident memory of this process. Imports nothing heavy, since that would be memory too."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

MEBIBYTE = 2**20


def _resident() -> tuple[int, int]:
    """Bytes now and at their highest.

    Linux's own account is asked first: there `getrusage` of a new process starts from the peak of
    the one that started it, and would hide what is measured. Elsewhere only the peak is known.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        now, peak = (1024 * int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))
        return now, peak
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak, peak


def peak_above_now(work: Callable[[], object]) -> tuple[float, float]:
    """Mebibytes resident before `work`, and how far above that the process rose; for a fresh process."""
    before, _ = _resident()
    work()
    _, peak = _resident()
    return before / MEBIBYTE, (peak - before) / MEBIBYTE
