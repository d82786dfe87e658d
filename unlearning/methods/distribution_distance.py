"""How far one sample of numbers is from another, as a loss that moves the first."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, arange

Match = Literal["mean", "quantiles"]
"""Compare batch means, or sorted values one by one."""


def distance(values: Tensor, target: Tensor, match: Match) -> Tensor:
    """D²: 0 when the statistics agree, larger the further apart they are.

    Args:
        values: (B,) of the forget batch.
        target: (K,) values or quantiles that the forget batch should resemble.
        match: `mean` or `quantiles`.
    """
    if match == "mean":
        return (values.mean() - target.mean()).square()
    return (values.sort().values - _quantiles(target, len(values))).square().mean()


def _quantiles(sample: Tensor, count: int) -> Tensor:
    """`count` values of a sample, at the levels (i + ½) / count.

    The k-th of K sorted values stands at level (k + ½) / K, so `count` = K gives the sample
    itself, sorted. Values between two are interpolated; beyond the ends they are the ends.
    """
    last = len(sample) - 1
    ranks = arange(count, dtype=sample.dtype, device=sample.device)
    places = ((ranks + 0.5) * (len(sample) / count) - 0.5).clamp(0, last)
    below = places.floor().long()
    ordered = sample.sort().values
    return ordered[below].lerp(ordered[(below + 1).clamp(max=last)], places - below)
