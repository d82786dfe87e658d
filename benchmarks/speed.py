"""`python -m benchmarks.speed`: how long things take over what they replace, and how much memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks import speed_lightly, speed_memory, speed_page, speed_rows, speed_steps
from benchmarks.conditions import TUNING_SEEDS_FROM, scaled
from benchmarks.rows import machine
from benchmarks.speed_rows import Memory, Ratio, Speed
from benchmarks.workbench import prepare
from unlearning import recipes
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import write_text
from unlearning.learning.paradigms import PARADIGMS
from unlearning.recipes.recipe import Recipe

SEED = TUNING_SEEDS_FROM
MEMORY_PARADIGMS = ("simclr", "supervised")
"""One with many views and a small encoder, one with convolutions; the others are like the first."""
WHOLE = """{data: {limit: null}, split: {members: 50000, calibration: 5000, holdout: 5000, test: 5000},
           training: {epochs: 1}, methods: {gradient_matching: {optimisation: {epochs: 1}}}, signals: {queries: 8}}"""
"""The whole of Fashion-MNIST, for the memory it takes; further epochs take no more."""


@dataclass(frozen=True)
class Plan:
    """How often what is repeated."""

    repeats: int = 7
    unlearning_repeats: int = 3
    step_epochs: int = 2
    simclr_epochs: int = 2


QUICK = Plan(repeats=3, unlearning_repeats=2, step_epochs=1, simclr_epochs=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither the progress of what is timed, nor the time that drawing it takes."""
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        yield


def _say(what: str) -> None:
    typer.echo(f"measuring {what}", err=True)


def ratios(recipe: Recipe, plan: Plan, seed: int) -> list[Ratio]:
    """Everything measured of one paradigm, with one original model."""
    name = recipe.paradigm.name
    _say(f"{name}: pretraining first")
    with _quiet():
        bench = prepare(recipe, seed)
        parts = speed_steps.parts_of(bench)
    _say(f"{name}: steps of gradient matching")
    with _quiet():
        found = speed_steps.penalty_steps(parts, epochs=plan.step_epochs, repeats=plan.repeats)
    if name == "simclr" and speed_lightly.installed():
        _say("simclr: epochs of ours and of lightly's")
        with _quiet():
            found += speed_lightly.simclr_epochs(bench, epochs=plan.simclr_epochs, repeats=plan.repeats)
    _say(f"{name}: unlearning and retraining")
    with _quiet():
        found.append(speed_steps.unlearning(parts, repeats=plan.unlearning_repeats))
    return found


def measure(chosen: Sequence[Recipe], memory_of: Sequence[Recipe], plan: Plan, *, dataset: str, seed: int) -> Speed:
    """All of it, with one thread."""
    begun = time.perf_counter()
    torch.set_num_threads(1)
    memory: list[Memory] = speed_memory.peaks(memory_of, seed)
    found = [ratio for recipe in chosen for ratio in ratios(recipe, plan, seed)]
    without = any(recipe.paradigm.name == "simclr" for recipe in chosen) and not speed_lightly.installed()
    return Speed(
        ratios=tuple(found),
        memory=tuple(memory),
        skipped=(speed_lightly.INSTALL,) if without else (),
        dataset=dataset,
        seed=seed,
        commit=settings.from_environment().commit,
        machine=machine(),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        seconds=time.perf_counter() - begun,
    )


def run(paradigms: Sequence[str], output: Path, *, quick: bool, memory: bool) -> Speed:
    """Measure, and write the figures and the page beside them."""
    dataset, changes = ("digits", "{training: {epochs: 4}}") if quick else ("fashion-mnist", "")
    named = {paradigm: recipes.default_recipe(dataset, paradigm) for paradigm in paradigms}
    whole = "{training: {epochs: 1}}" if quick else WHOLE
    speed = measure(
        [scaled(name, changes) for name in named.values()],
        [scaled(named[paradigm], whole) for paradigm in MEMORY_PARADIGMS if memory and paradigm in named],
        QUICK if quick else Plan(),
        dataset=dataset,
        seed=SEED,
    )
    speed_rows.save(speed, output)
    write_text(output.with_suffix(".md"), speed_page.render(speed))
    return speed


def main(
    quick: Annotated[bool, typer.Option(help="Bundled digits, few repeats: does it run, not how fast.")] = False,
    paradigm: Annotated[list[str] | None, typer.Option(help="Only these; repeat for more.")] = None,
    memory: Annotated[bool, typer.Option(help="Measure memory too.")] = True,
    output: Annotated[Path, typer.Option(help="JSON; the page beside it has the same name.")] = Path(
        "benchmarks/results/speed.json"
    ),
) -> None:
    """Measure speed as ratios, and memory; about five minutes. Leave the machine alone meanwhile."""
    if quick and output.name == "speed.json":
        output = output.with_name("speed-quick.json")
    try:
        speed = run(paradigm or list(PARADIGMS), output, quick=quick, memory=memory)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    for line in speed.skipped:
        typer.echo(f"not measured: {line}")
    typer.echo(f"results in {output} and {output.with_suffix('.md')}")


if __name__ == "__main__":
    typer.run(main)
