"""`python -m benchmarks.compliance_faults`: what compliance batches survive, from kills to clocks that differ."""

from __future__ import annotations

import itertools
import os
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import faults_trials, faults_world
from benchmarks.faults_page import render
from benchmarks.faults_trials import FORK, Extent, Outcome, ended, extent, start
from benchmarks.faults_world import World
from benchmarks.rows import machine
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json, write_text

Try = Callable[[World, Extent, int], Outcome]

TRIALS: dict[str, Try] = {
    "steps": faults_trials.killed_after_step,
    "writes": faults_trials.killed_at_write,
    "times": faults_trials.killed_at_any_time,
    "store": faults_trials.store_errors,
    "two": faults_trials.two_batches,
    "mlflow": faults_trials.registry_down,
    "clocks": faults_trials.skewed_clocks,
}
EVERY = 0
"""Of `steps`: one after every step. Of `writes`: one right before and one right after every write there is."""
COUNTS = {"steps": EVERY, "writes": EVERY, "times": 24, "store": 20, "two": 20, "mlflow": 16, "clocks": 16}
QUICK = {"steps": 2, "writes": 2, "times": 1, "store": 1, "two": 2, "mlflow": 1, "clocks": 1}


def trials(counts: Mapping[str, int], size: Extent) -> list[tuple[str, int]]:
    """Every trial, those of all faults by turns; kills at writes in an order that is spread over the batch."""
    waiting = {name: list(range(count)) for name, count in counts.items()}
    if "steps" in counts:
        waiting["steps"] = list(range(counts["steps"] or len(size.step_names)))
    if "writes" in counts:
        spread = list(range(2 * size.writes))
        random.Random(0).shuffle(spread)  # noqa: S311 - not for secrets
        waiting["writes"] = spread[: counts["writes"] or None]
    turns = itertools.zip_longest(*([(name, number) for number in some] for name, some in waiting.items()))
    return [each for turn in turns for each in turn if each is not None]


def _work(folder: Path, counts: Mapping[str, int], part: int, parts: int, commit: str, until: float) -> None:
    """One worker: a world of its own, and every so-manieth trial of each fault."""
    os.environ.update(faults_world.environment(folder, commit))
    world = World(folder=folder, asked={}, never_trained=(), unknown=())
    if ended(start(world, lambda: faults_world.build(folder))) != 0:
        raise UserError(f"the tiny models could not be made: see {folder / 'log'}")
    world = faults_world.load(folder)
    faults_trials.preload(world)
    size = extent(world)
    write_json(folder / "extent.json", size.model_dump())
    done: list[dict[str, Any]] = []
    for name, number in trials(counts, size)[part::parts]:
        if time.time() >= until:
            break
        outcome = TRIALS[name](world, size, number)
        done.append(outcome.model_dump(mode="json"))
        write_json(folder / "outcomes.json", done)
        told = "; ".join(outcome.problems) or ("survived" if outcome.struck else "the fault did not strike")
        print(f"{outcome.fault} {number}, {outcome.what}: {told}", flush=True)


def summary(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """One row for each fault."""
    rows = []
    for fault in dict.fromkeys(each.fault for each in outcomes):
        of = [each for each in outcomes if each.fault == fault]
        rows.append(
            {
                "fault": fault,
                "runs": len(of),
                "struck": sum(each.struck for each in of),
                "survived": sum(not each.problems for each in of),
                "tries": sum(each.tries for each in of),
                "problems": sorted({problem for each in of for problem in each.problems}),
            }
        )
    return rows


def run(counts: Mapping[str, int], folder: Path, jobs: int, command: str, minutes: float) -> dict[str, Any]:
    """All trials, shared among worker processes.

    Raises:
        UserError: a worker failed.
    """
    begun = time.perf_counter()
    commit = settings.from_environment().commit
    torch.set_num_threads(1)
    until = time.time() + 60 * minutes if minutes else float("inf")
    folders = [folder / f"worker-{part}" for part in range(jobs)]
    for each in folders:
        each.mkdir()
    workers = [
        FORK.Process(target=_work, args=(each, counts, part, jobs, commit, until)) for part, each in enumerate(folders)
    ]
    for worker in workers:
        worker.start()
    codes = [ended(worker) for worker in workers]
    if any(codes):
        raise UserError(f"a worker failed: see its message above, and {folder}")
    found = [Outcome.model_validate(one) for each in folders for one in _outcomes(each)]
    order = list(dict.fromkeys(each.fault for each in found))
    found.sort(key=lambda each: (order.index(each.fault), each.number))
    return {
        "command": command,
        "commit": commit,
        "machine": machine(),
        "jobs": jobs,
        "minutes": (time.perf_counter() - begun) / 60,
        "batch": read_json(folders[0] / "extent.json", "extent of a batch"),
        "summary": summary(found),
        "trials": [each.model_dump(mode="json") for each in found],
    }


def _outcomes(folder: Path) -> list[Any]:
    path = folder / "outcomes.json"
    return list(read_json(path, "outcomes")) if path.exists() else []


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A few trials of each fault, to see that it works.")] = False,
    writes: Annotated[int, typer.Option(help="Kills at writes; 0: before and after every one.")] = EVERY,
    minutes: Annotated[float, typer.Option(help="Begin no trial after so many; 0 for all there are.")] = 0.0,
    only: Annotated[str, typer.Option(help=f"One kind of faults: {', '.join(TRIALS)}; empty for all.")] = "",
    folder: Annotated[Path | None, typer.Option(help="Where the worlds are made, and deleted afterwards.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the worlds and their logs where they are.")] = False,
    jobs: Annotated[int, typer.Option(help="Worker processes.")] = 2,
    output: Annotated[Path, typer.Option(help="JSON; the page is written beside it.")] = Path(
        "benchmarks/results/compliance_faults.json"
    ),
) -> None:
    """Kill, confuse and cut off compliance batches, and look whether every request is honoured once all the same."""
    if only and only not in TRIALS:
        raise typer.BadParameter(f"{only!r} is none of {', '.join(TRIALS)}", param_hint="--only")
    counts = QUICK if quick else COUNTS | {"writes": writes}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="faults-", dir=folder))
    given = shlex.join(sys.argv[1:])
    command = f"python -m benchmarks.compliance_faults {given}".strip()
    try:
        found = run({name: counts[name] for name in TRIALS if only in ("", name)}, place, jobs, command, minutes)
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)
    write_json(output, found)
    write_text(output.with_suffix(".md"), render(found))
    for row in found["summary"]:
        typer.echo(f"{row['fault']}: {row['survived']} of {row['runs']} survived")


if __name__ == "__main__":
    typer.run(main)
