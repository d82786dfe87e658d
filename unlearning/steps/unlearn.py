"""Unlearn: a method turns a model and a forget set into a candidate."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from unlearning.audit.escalation import RETRAINED
from unlearning.cluster import launch
from unlearning.cluster.workers import Workers
from unlearning.learning.devices import choose_device
from unlearning.recipes import provenance, unlearning
from unlearning.recipes.provenance import UnlearnResult

RETRAINED_OFFSET = 2_000_003
"""What may be promoted is retrained from another seed than what it is compared with."""


def of_attempt(attempt: str, method: str, overrides: str, seed: int) -> tuple[str, str, int]:
    """Method, overrides and seed that an attempt uses: those asked for, unless it is exact retraining."""
    return ("retrain", "", seed + RETRAINED_OFFSET) if attempt == RETRAINED else (method, overrides, seed)


def unlearn(
    *,
    model_path: Path,
    snapshot_path: Path,
    split_path: Path,
    forget_path: Path,
    method: str,
    overrides: str,
    attempt: str = "first",
    seed: int,
    device: str,
    gpus: int = 0,
    keep_diverged: bool = False,
    wanted: Workers = Workers(),  # noqa: B008 - cannot be changed
    candidate_path: Path,
) -> UnlearnResult:
    """Run one method; see `unlearning.recipes.unlearning.unlearn`.

    Args:
        wanted: who trains; this process alone unless it says otherwise.

    Raises:
        UserError: the inputs do not belong together, a setting has no meaning, or a worker failed.
        TrainingDivergedError: the method diverged and that is not to be kept, or it was exact retraining.
    """
    given: dict[str, Any] = {
        "model_path": model_path,
        "snapshot_path": snapshot_path,
        "split_path": split_path,
        "forget_path": forget_path,
        "method": method,
        "overrides": overrides,
        "attempt": attempt,
        "seed": seed,
        "device": device,
        "keep_diverged": keep_diverged,
        "candidate_path": candidate_path,
    }
    if launch.by_workers(launch.UNLEARN, wanted, given, gpus, check=partial(choose_device, device, gpus)):
        return provenance.result_at(candidate_path)
    return unlearning.unlearn(**given, gpus=gpus)
