"""Margins that whatever a tiny recipe makes will pass."""

from __future__ import annotations

WIDE: dict[str, float] = {"auc_margin": 0.49, "utility_margin": 0.9, "record_margin": 0.99, "memory_margin": 0.99}
