"""Whether this machine's clock agrees with the services': deadlines, leases and certificates are times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests

from pipelines.cluster.doctor.findings import Finding

TOLERANCE = 300.0
"""Seconds that the ledger and the certificates bear: docs/compliance.md."""
TIMEOUT = 10.0


def clock(urls: Iterable[str]) -> Iterator[Finding]:
    """Compare with the time that each server puts into its answers, whatever it answers."""
    asked = [url for url in dict.fromkeys(urls) if url.startswith(("http://", "https://"))]
    if not asked:
        yield Finding(check="clock", state="unknown", found="no service to compare it with")
    for url in asked:
        try:
            date = requests.head(url, timeout=TIMEOUT).headers.get("Date", "")
            apart = (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
        except (requests.RequestException, ValueError, TypeError):
            yield Finding(check="clock", state="unknown", found=f"{url} does not say what time it is")
            continue
        yield judged(url, apart)


def judged(url: str, apart: float) -> Finding:
    """What a difference means; seconds, positive where the service is ahead. An answer's time is in whole seconds."""
    found = f"{abs(apart):.0f} s {'behind' if apart > 0 else 'ahead of'} {url}"
    if abs(apart) <= TOLERANCE / 10:
        return Finding(check="clock", state="ok", found=found)
    do = f"set both by NTP: beyond {TOLERANCE:.0f} s leases and certificates go wrong"
    return Finding(check="clock", state="warning" if abs(apart) <= TOLERANCE else "failed", found=found, do=do)
