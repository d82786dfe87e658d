"""A run's models looked at: what the figures show of them, and whom they take forgotten records for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from unlearning.audit import inspection, neighbours
from unlearning.audit.inspection_results import Epoch, InspectionResults
from unlearning.core.seeding import initialisation
from unlearning.learning import models
from unlearning.learning.paradigms import make_paradigm
from unlearning.recipes.pretraining import untrained
from unlearning.recipes.run_data import RunData


def measure(run: RunData, model_paths: Mapping[str, Path], device: torch.device, *, trace: bool) -> InspectionResults:
    """Measure what the figures show.

    Args:
        run: what to measure on.
        model_paths: folders by name, the original first.
        device: where to measure.
        trace: also train the original again from its seed, to look at it as it overfits.
    """
    recipe, seed = run.made.recipe, run.made.seed
    measured = inspection.measure_models(
        {name: models.load(path, device) for name, path in model_paths.items()},
        make_paradigm(recipe.paradigm),
        forget=run.records(run.forget.ids, device),
        retained=run.records(run.retained, device),
        holdout=run.records(run.split.holdout, device),
        config=recipe.signals,
        seed=seed,
    )
    return InspectionResults(
        paradigm=recipe.paradigm.name,
        digests={name: models.digest(path) for name, path in model_paths.items()},
        models=measured,
        training=_traced(run, device) if trace else (),
    )


def _traced(run: RunData, device: torch.device) -> tuple[Epoch, ...]:
    recipe, seed = run.made.recipe, run.made.seed
    with initialisation(seed, "pretrain"):
        model = untrained(recipe, run.snapshot.manifest)
    members, holdout = (run.records(ids, device) for ids in (run.split.members, run.split.holdout))
    paradigm = make_paradigm(recipe.paradigm)
    return inspection.trace_training(model.to(device), paradigm, members, holdout, recipe.training, seed=seed)


def nearest_retained(
    run: RunData, model_paths: Mapping[str, Path], ids: tuple[str, ...], device: torch.device
) -> dict[str, list[list[tuple[str, float]]]]:
    """By model and record, the retained members nearest to it, the nearest first: their ids and cosines.

    Args:
        run: of the models.
        model_paths: folders by name.
        ids: N records.
        device: where to look.
    """
    records, kept = run.records(ids, device), run.retained
    retained = run.records(kept, device)
    found = {}
    for name, path in model_paths.items():
        near = neighbours.nearest(models.load(path, device), records, retained)
        found[name] = [
            [(kept[row], cosine) for row, cosine in zip(rows, cosines, strict=True)]
            for rows, cosines in zip(near.rows.tolist(), near.cosines.tolist(), strict=True)
        ]
    return found
