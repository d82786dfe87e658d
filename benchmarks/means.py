"""Means over seeds with their intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Mean:
    """A mean over seeds; the half width of its interval is infinite for a single seed."""

    value: float
    half: float

    def text(self, digits: int = 3) -> str:
        if not np.isfinite(self.half):
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} ± {self.half:.{digits}f}"

    def within(self, low: float, high: float) -> str:
        """Whether the mean is inside the bounds, and whether its whole interval is."""
        if low <= self.value - self.half and self.value + self.half <= high:
            return "yes"
        return "yes, but its interval reaches beyond" if low <= self.value <= high else "no"


def mean(values: Iterable[float], level: float = 0.95) -> Mean:
    """Mean with Student's t-interval."""
    sample = np.array(list(values), dtype=np.float64)
    if len(sample) < 2:
        return Mean(float(sample.mean()), float("inf"))
    error = float(sample.std(ddof=1) / np.sqrt(len(sample)))
    return Mean(float(sample.mean()), float(stats.t.ppf(0.5 + level / 2, len(sample) - 1)) * error)
