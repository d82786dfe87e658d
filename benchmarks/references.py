"""`python -m benchmarks.references`: what reference models cost, in trainings of the original."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.rows import machine
from benchmarks.workbench import CPU
from unlearning import recipes
from unlearning.audit.references.training import ReferenceTraining, make_references
from unlearning.core import settings
from unlearning.core.files import write_json
from unlearning.core.seeding import initialisation
from unlearning.data.sources import open_source
from unlearning.data.splits import make_split
from unlearning.learning.paradigms import PARADIGMS
from unlearning.learning.training import train
from unlearning.recipes.references import training_of

COUNT = 16


def _given(dataset: str, paradigm: str, epochs: int) -> ReferenceTraining:
    recipe = recipes.load(recipes.default_recipe(dataset, paradigm), f"training: {{epochs: {epochs}}}")
    snapshot = open_source(recipe.data.source, settings.from_environment().data, limit=recipe.data.limit, seed=0)
    split = make_split(snapshot.manifest, recipe.split, 0)
    return training_of(recipe, snapshot, split, count=COUNT, seed=0, device=CPU)


def _single(given: ReferenceTraining, threads: int) -> float:
    """Seconds of one training of the original."""
    torch.set_num_threads(threads)
    with initialisation(0, "pretrain"):
        model = given.build()
    begun = time.perf_counter()
    train(model, given.paradigm, given.members, given.training, seed=0, purpose="pretrain")
    return time.perf_counter() - begun


def measure(dataset: str, paradigm: str, epochs: int, threads: int) -> dict[str, float]:
    """Seconds and ratios of one paradigm.

    Training is proportional to epochs and measuring is not, so a few epochs are enough to know both: a
    recipe's own number of epochs is put in afterwards.
    """
    given = _given(dataset, paradigm, epochs)
    one, all_threads = _single(given, 1), _single(given, threads)
    torch.set_num_threads(threads)
    begun = time.perf_counter()
    made = make_references(given, range(COUNT))
    whole = time.perf_counter() - begun
    # References are trained side by side; of each one's time the rest is measuring.
    training = sum(each.seconds for each in made) / threads
    full = recipes.load(recipes.default_recipe(dataset, paradigm)).training.epochs / epochs
    single = min(one, all_threads) * full
    cost = training * full + whole - training
    return {
        "single_one_thread": one * full,
        "single_all_threads": all_threads * full,
        "training_of_references": training * full,
        "measuring_of_references": whole - training,
        "training_ratio": training * full / single,
        "ratio": cost / single,
        "ratio_to_one_thread": cost / (one * full),
    }


def main(
    epochs: Annotated[int, typer.Option(help="Of every training; ratios are those of the recipe's own.")] = 20,
    repeats: Annotated[int, typer.Option(help="Of every measurement; medians are kept.")] = 3,
    output: Annotated[Path, typer.Option(help="JSON.")] = Path("benchmarks/results/references.json"),
) -> None:
    """Seconds of 16 references beside one training, side by side on this machine."""
    threads = torch.get_num_threads()
    found = {}
    for paradigm in PARADIGMS:
        runs = [measure("fashion-mnist", paradigm, epochs, threads) for _ in range(repeats)]
        found[paradigm] = {name: float(np.median([run[name] for run in runs])) for name in runs[0]}
        ratio, training = found[paradigm]["ratio"], found[paradigm]["training_ratio"]
        slow = found[paradigm]["ratio_to_one_thread"]
        typer.echo(
            f"{paradigm}: {ratio:.2f} trainings, {training:.2f} of it training; {slow:.2f} of a training on one thread"
        )
    about = {
        "commit": settings.from_environment().commit,
        "machine": machine(),
        "threads": threads,
        "references": COUNT,
    }
    write_json(output, about | {"epochs": epochs, "repeats": repeats, "paradigms": found})


if __name__ == "__main__":
    typer.run(main)
