"""`python -m benchmarks.audit_cost`: what an audit costs beside the retraining that unlearning is to save."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.rows import machine
from benchmarks.workbench import CPU
from unlearning import recipes
from unlearning.audit.audit import audit
from unlearning.audit.reference_baseline import ReferenceBaseline
from unlearning.audit.signals import measure
from unlearning.core import settings
from unlearning.core.files import write_json
from unlearning.core.seeding import initialisation
from unlearning.data import forget_set
from unlearning.data.loading import part
from unlearning.data.records import concatenate
from unlearning.data.sources import open_source
from unlearning.data.splits import make_split
from unlearning.learning.paradigms import PARADIGMS
from unlearning.learning.training import train
from unlearning.recipes.recipe import Recipe
from unlearning.recipes.references import train as train_references
from unlearning.recipes.references import training_of

COUNT = 16
FRACTION = 0.2
WITHOUT = ("original", "candidate", "retrained")
"""Audited models where nothing but a retrained model is compared with."""


def measure_cost(recipe: Recipe, epochs: int) -> dict[str, float]:
    """Seconds of retraining and of audits, and their ratios.

    Training is proportional to epochs and an audit does not depend on them, so that a few epochs are enough to know
    both: the recipe's own number is put in afterwards. Every audited model is the same one, since what a model is does
    not change what looking at it costs.

    Args:
        recipe: with its own number of epochs.
        epochs: of every training here.
    """
    full = recipe.training.epochs / epochs
    short = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": epochs})})
    snapshot = open_source(recipe.data.source, settings.from_environment().data, limit=recipe.data.limit, seed=0)
    split = make_split(snapshot.manifest, recipe.split, 0)
    given = training_of(short, snapshot, split, count=COUNT, seed=0, device=CPU)
    chosen = forget_set.select(split, snapshot, kind="random", fraction=FRACTION, class_name="", seed=0)
    side = recipe.data.image_side
    groups: dict[str, Any] = {
        "forget": part(snapshot, chosen.ids, side, CPU),
        "retained": part(snapshot, split.retained(chosen.ids), side, CPU),
        "holdout": given.holdout,
    }
    with initialisation(0, "retrain"):
        model = given.build()
    begun = time.perf_counter()
    train(model, given.paradigm, groups["retained"], given.training, seed=0, purpose="retrain")
    retraining = (time.perf_counter() - begun) * full

    made = train_references(given, range(COUNT), original="benchmark", split=split.digest)[0]
    known = measure(model, given.paradigm, concatenate(given.members, given.holdout), recipe.signals, seed=0)
    forgotten = ReferenceBaseline.of(replace(made, original=known), split, chosen.ids)

    def seconds(names: tuple[str, ...], references: ReferenceBaseline | None) -> float:
        begun = time.perf_counter()
        audit(
            dict.fromkeys(names, ("0" * 64, model)),
            given.paradigm,
            **groups,
            config=recipe.signals,
            seed=0,
            split=split.digest,
            forget_digest=chosen.digest,
            forgotten=references,
        )
        return time.perf_counter() - begun

    without, beside = seconds(WITHOUT, None), seconds(WITHOUT[:2], forgotten)
    return {
        "retraining": retraining,
        "audit_without_references": without,
        "audit_with_references": beside,
        "ratio_without_references": without / retraining,
        "ratio_with_references": beside / retraining,
    }


def main(
    recipe: Annotated[list[str] | None, typer.Option(help="Only these; repeat for more.")] = None,
    overrides: Annotated[str, typer.Option(help="YAML laid over each of them.")] = "",
    epochs: Annotated[int, typer.Option(help="Of every training; ratios are those of the recipe's own.")] = 10,
    repeats: Annotated[int, typer.Option(help="Of every measurement; medians are kept.")] = 3,
    output: Annotated[Path, typer.Option(help="JSON.")] = Path("benchmarks/results/audit_cost.json"),
) -> None:
    """Seconds of an audit over those of exact retraining, side by side on this machine."""
    found = {}
    for name in recipe or [recipes.default_recipe("fashion-mnist", paradigm) for paradigm in PARADIGMS]:
        runs = [measure_cost(recipes.load(name, overrides), epochs) for _ in range(repeats)]
        found[name] = {key: float(np.median([run[key] for run in runs])) for key in runs[0]}
        shown = found[name]
        typer.echo(
            f"{name}: retraining {shown['retraining']:.0f} s, audit {shown['ratio_without_references']:.3f} of that "
            f"without references, {shown['ratio_with_references']:.3f} with {COUNT}"
        )
    about = {"commit": settings.from_environment().commit, "machine": machine(), "threads": torch.get_num_threads()}
    write_json(output, about | {"overrides": overrides, "epochs": epochs, "repeats": repeats, "recipes": found})


if __name__ == "__main__":
    typer.run(main)
