from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unlearning.methods.distribution_distance import Match, distance

SEEDS = range(4)
MATCHES: tuple[Match, ...] = ("mean", "quantiles")


def values(count: int, seed: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def quantile(ordered: list[float], level: float) -> float:
    """Linear interpolation between neighbours, where the k-th of K values stands at (k + ½) / K."""
    place = min(max(level * len(ordered) - 0.5, 0.0), len(ordered) - 1.0)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def test_the_distance_of_means_is_their_squared_difference() -> None:
    for seed in SEEDS:
        forget, target = values(7, seed), values(11, seed + 100)
        expected = (sum(forget.tolist()) / 7 - sum(target.tolist()) / 11) ** 2
        assert distance(forget, target, "mean").item() == pytest.approx(expected, rel=1e-4)


def test_the_distance_of_quantiles_compares_the_sorted_values_one_by_one() -> None:
    for seed in SEEDS:
        forget, target = values(7, seed), values(11, seed + 100)
        ordered = sorted(target.tolist())
        differences = [
            value - quantile(ordered, (rank + 0.5) / 7) for rank, value in enumerate(sorted(forget.tolist()))
        ]
        expected = sum(difference**2 for difference in differences) / 7
        assert distance(forget, target, "quantiles").item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("match", MATCHES)
@pytest.mark.parametrize("count", [1, 2, 7, 64, 100])
def test_identical_samples_are_exactly_0_apart(count: int, match: Match, dtype: torch.dtype) -> None:
    sample = values(count, 0).to(dtype)
    result = distance(sample, sample.clone(), match)
    assert result.dtype == dtype
    assert result.item() == 0


def test_stored_quantiles_are_read_at_the_levels_they_were_measured_at() -> None:
    """The quantile function is level itself, so any number of stored levels gives the same one."""
    stored = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    for count in (16, 64):
        forget = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        assert distance(forget, stored, "quantiles").item() == pytest.approx(0, abs=1e-30)


@pytest.mark.parametrize("match", MATCHES)
def test_the_distance_to_one_number_has_a_closed_form(match: Match) -> None:
    forget = torch.tensor([1.0, 3.0, 5.0])
    expected = {"mean": 4.0, "quantiles": 4 + 8 / 3}[match]
    assert distance(forget, torch.tensor([1.0]), match).item() == pytest.approx(expected)


@pytest.mark.parametrize("match", MATCHES)
def test_the_distance_knows_no_order_and_no_common_offset(match: Match) -> None:
    forget, target = values(7, 0), values(11, 1)
    expected = distance(forget, target, match)
    torch.testing.assert_close(distance(forget.flip(0), target.flip(0), match), expected)
    torch.testing.assert_close(distance(forget + 5, target + 5, match), expected, rtol=1e-4, atol=1e-5)


def test_only_quantiles_notice_another_spread() -> None:
    forget, target = torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([-9.0, 0.0, 9.0])
    assert distance(forget, target, "mean") == 0
    assert distance(forget, target, "quantiles") > 10
