"""Tombstones: what was erased is in no new snapshot, split, training or set of references."""

from __future__ import annotations

from unlearning.compliance.retention import tombstones as stones
from unlearning.compliance.retention.tombstones import load_all


def tombstones() -> str:
    """Digest of what was erased until now. Whatever depends on it must not be taken from a cache of before."""
    return stones.digest(load_all())
