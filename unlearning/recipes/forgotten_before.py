"""The audit's second group: what the version that is to forget, and all it descends from, was made to forget before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from unlearning.audit.forgotten_before import COMPARED, compare_forgotten_before
from unlearning.audit.results import ForgottenBefore
from unlearning.core.errors import UserError
from unlearning.data import past_forget_sets
from unlearning.data.loading import part
from unlearning.data.past_forget_sets import PastForgetSets
from unlearning.data.snapshots import Snapshot
from unlearning.learning.models import Model
from unlearning.learning.paradigms import make_paradigm
from unlearning.recipes.run_data import RunData


@dataclass(frozen=True)
class PastData:
    """What is known of it, and the snapshot that holds what can be audited."""

    past: PastForgetSets
    snapshot: Snapshot | None


def past_of(path: Path | None, run: RunData) -> PastData | None:
    """Read what was forgotten before, and check that it belongs to the version of a run.

    Args:
        path: folder that `resolve` wrote; None where the audit is not given any.

    Raises:
        UserError: damaged, or of a version that stands for another split.
    """
    if path is None:
        return None
    past, snapshot = past_forget_sets.load(path)
    if past.split != run.split.digest:
        raise UserError(
            f"what was forgotten before, {path}, belongs to split {past.split[:12]}, not {run.split.digest[:12]}: give "
            "what was resolved with this version"
        )
    return PastData(past, snapshot)


def audit_forgotten_before(
    given: PastData | None, run: RunData, models: Mapping[str, Model], *, seed: int, device: torch.device
) -> ForgottenBefore | None:
    """Attack candidate and retrained model over what was forgotten before.

    Args:
        given: see `past_of`.
        run: the data of the audit.
        models: under audit, by name.
        seed: the audit's own.

    Returns:
        What was found, or why nothing could be; None where nothing was forgotten before.
    """
    if given is None:
        return ForgottenBefore(records=0, untested=None, why="not_given") if run.made.parent else None
    ids, gone = given.past.ids, given.past.gone
    if not ids or given.snapshot is None:
        return None if gone == 0 else ForgottenBefore(records=0, untested=gone)
    if not set(COMPARED) <= models.keys():
        return ForgottenBefore(records=0, untested=None if gone is None else gone + len(ids), why="not_retrained")
    recipe = run.made.recipe
    comparisons = compare_forgotten_before(
        models,
        make_paradigm(recipe.paradigm),
        before=part(given.snapshot, ids, recipe.data.image_side, device),
        holdout=run.records(run.split.holdout, device),
        retained=run.records(run.retained, device),
        config=recipe.signals,
        seed=seed,
    )
    return ForgottenBefore(records=len(ids), untested=gone, comparisons=comparisons)
