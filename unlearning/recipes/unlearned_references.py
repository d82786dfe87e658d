"""References made to forget what a candidate forgot, by its method and with its settings, for U-LiRA.

A reference was trained on about half of the forgotten records. It unlearns exactly those, and retains the rest of what
it was trained on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from unlearning.audit.reference_baseline import ReferenceBaseline
from unlearning.audit.references.plan import check_count
from unlearning.audit.references.signals import model_folder
from unlearning.audit.references.unlearned import UnlearnedReferences
from unlearning.audit.signals import Measured, measure
from unlearning.core.errors import TrainingDivergedError, UserError
from unlearning.core.progress import suppress_progress, track
from unlearning.core.seeding import derive
from unlearning.data.records import Records, concatenate
from unlearning.learning import models
from unlearning.learning.models import Model
from unlearning.learning.paradigms import make_paradigm
from unlearning.recipes.escalated import settings_at
from unlearning.recipes.pretraining import store_gradient_target
from unlearning.recipes.provenance import Provenance
from unlearning.recipes.run_data import RunData
from unlearning.recipes.unlearning import run_method


def with_unlearned(
    forgotten: ReferenceBaseline,
    count: int,
    references_path: Path,
    candidate: Provenance,
    run: RunData,
    device: torch.device,
) -> ReferenceBaseline:
    """Unlearn the first `count` references, and measure them with the very views they were measured with before.

    Args:
        forgotten: the references, and the rows of the forgotten records.
        count: even, 8 or more; 0 for none.
        references_path: folder of the references, with their weights.
        candidate: how it was made: its method, settings and seed are taken.
        run: the original's data.
        device: to compute on.

    Returns:
        The references with what was measured; as they are where nothing is asked for, where the candidate's method
        diverged, and where it is exact retraining, by which a reference would become one that was never trained on the
        records.

    Raises:
        UserError: no audit can use so many, or their weights are not there.
        TrainingDivergedError: the method makes no model of one of them.
    """
    check_count(count, "unlearned_references")
    if not count or candidate.diverged or candidate.method == "retrain":
        return forgotten
    folders = [references_path / model_folder(number) for number in range(count)]
    missing = [path for path in folders if not path.is_dir()]
    if missing:
        raise UserError(
            f"references {references_path}: {len(missing)} of {count} have no weights: take the whole folder from the "
            "store, make them anew with unlearn step references, or give unlearned_references 0"
        )
    begun, shown = time.perf_counter(), []
    with track("references unlearned", count) as advance:
        for each in _measured(candidate, run, forgotten, folders, device):
            shown.append(each)
            advance("")
    first = len(run.split.members)
    unlearned = UnlearnedReferences(
        forget_losses=np.stack([each.losses[forgotten.rows] for each in shown]),
        holdout_losses=np.stack([each.losses[first:] for each in shown]),
        seconds=time.perf_counter() - begun,
    )
    return replace(forgotten, unlearned=unlearned)


def _measured(
    candidate: Provenance, run: RunData, forgotten: ReferenceBaseline, folders: list[Path], device: torch.device
) -> Iterator[Measured]:
    """What each reference shows of members and holdout when it has forgotten, one after another."""
    members, calibration = run.records(run.split.members, device), run.records(run.split.calibration, device)
    audited = concatenate(members, run.records(run.split.holdout, device))
    paradigm, manifest = make_paradigm(candidate.recipe.paradigm), forgotten.references.manifest
    for number, folder in enumerate(folders):
        trained = forgotten.references.trained[number].nonzero()[0]
        known = np.isin(trained, forgotten.rows)
        retain, forget = (_rows(members, rows) for rows in (trained[~known], trained[known]))
        with suppress_progress():
            model = models.load(folder, device)
            if len(forget):
                model = _unlearned(number, model, candidate, retain=retain, forget=forget, calibration=calibration)
            measured = measure(model, paradigm, audited, manifest.signals, seed=manifest.seed)
        yield measured


def _rows(records: Records, rows: npt.NDArray[np.intp]) -> Records:
    return records[torch.from_numpy(rows).to(records.images.device)]


def _unlearned(
    number: int, reference: Model, candidate: Provenance, *, retain: Records, forget: Records, calibration: Records
) -> Model:
    """One reference without the records, from a seed of its own."""
    recipe, method, attempt = candidate.recipe, candidate.method, candidate.attempt or "first"
    paradigm, config = make_paradigm(recipe.paradigm), settings_at(recipe, method, attempt)
    seed = derive(candidate.seed, f"unlearned reference {number}")
    # As an original does, a reference keeps its τ of non-members.
    known = concatenate(retain, forget)
    store_gradient_target(reference, paradigm, recipe, nonmembers=calibration, members=known, seed=seed)
    given = {"retain": retain, "forget": forget, "calibration": calibration}
    try:
        return run_method(method, reference, paradigm, **given, config=config, seed=seed)
    except TrainingDivergedError as error:
        raise TrainingDivergedError(
            f"reference {number}: {error}; the candidate's settings make no model of it, so that U-LiRA cannot be run: "
            "give milder settings or unlearned_references 0"
        ) from None
