"""Which method comes nearest to retraining, and whether the gradient does the work."""

from __future__ import annotations

import numpy as np

from benchmarks.means import Mean, mean
from benchmarks.rows import Row
from unlearning.methods import METHODS

APPROXIMATE = tuple(name for name in METHODS if name != "retrain")
OURS = ("gradient_matching", "gradient_matching_stage2")
ABLATION = "loss_matching"


def distance(row: Row, retrained: Row) -> float:
    """How far from the retrained model of the same seed; 0 is ideal.

    The difference of the strongest attacks' AUC, either way, plus the share of test records lost on the
    accuracy that suffered most, if any was: a hundredth of AUC counts as much as a point of accuracy.
    """
    lost = max(retrained.accuracies[name] - row.accuracies[name] for name in _measures(row))
    return abs(row.strongest - retrained.strongest) + max(lost, 0.0)


def _measures(row: Row) -> list[str]:
    return [name for name in row.accuracies if name != "forget_knn"]


def distances(rows: list[Row]) -> dict[str, dict[int, float]]:
    """Method to seed to distance, of one paradigm's rows."""
    retrained = {row.seed: row for row in rows if row.method == "retrain"}
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        if row.method in APPROXIMATE and row.seed in retrained:
            found.setdefault(row.method, {})[row.seed] = distance(row, retrained[row.seed])
    return found


def further(found: dict[str, dict[int, float]], method: str, than: str) -> Mean:
    """How much further away `method` is than the other, paired over the seeds that both have."""
    common = sorted(found[method].keys() & found[than].keys())
    return mean(found[method][seed] - found[than][seed] for seed in common)


def _verdict(difference: Mean) -> str:
    """Of a difference that is positive when the first of two is further away."""
    if abs(difference.value) <= difference.half:
        return "no difference shown"
    return "yes" if difference.value > 0 else "no, it is nearer without"


def _standing(found: dict[str, dict[int, float]], ours: str) -> str:
    means = {method: float(np.mean(list(by_seed.values()))) for method, by_seed in found.items()}
    nearest = min(means, key=lambda method: means[method])
    about = f"AUC gap plus accuracy lost of `{ours}` is {means[ours]:.3f}"
    if nearest == ours:
        return f"- Best of the approximate methods: yes. {about}."
    behind = further(found, ours, nearest)
    tied = "tied, no difference shown" if abs(behind.value) <= behind.half else "no"
    return (
        f"- Best of the approximate methods: {tied}. {about}, of `{nearest}` {means[nearest]:.3f}; paired "
        f"difference {behind.text()}."
    )


def lines(rows: list[Row]) -> list[str]:
    """What one paradigm's rows answer, as items of a list."""
    found = distances(rows)
    told = [_standing(found, ours) for ours in OURS if ours in found]
    for ours in OURS:
        if ours in found and ABLATION in found:
            difference = further(found, ABLATION, ours)
            told.append(
                f"- Does the gradient of `{ours}` do the work? {_verdict(difference).capitalize()}: `{ABLATION}`, "
                f"which has none, is {difference.text()} further away."
            )
    return told
