"""Margins that whatever a tiny recipe makes will pass."""

from __future__ import annotations

WIDE: dict[str, float] = {"auc_margin": 0.49, "utility_margin": 0.9, "record_margin": 0.99, "memory_margin": 0.99}

OPTIONS: tuple[str, ...] = tuple(
    text for name, margin in WIDE.items() for text in (f"--{name.replace('_', '-')}", str(margin))
)
"""The same on the command line."""
