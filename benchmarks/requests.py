"""What many requests cost: adding them, collecting them, certifying those that need no unlearning.

A tiny model is trained on a folder of noise, one picture for each person who asks: half of them are members of the
model, half were held out. Sizes are compared in one run, so that it shows how the time grows; at last 400 persons ask
for one and the same record. `python -m benchmarks.requests`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from benchmarks.faults_world import environment, register_original
from benchmarks.rows import machine
from unlearning.compliance.certificates import keys
from unlearning.compliance.requests import intake
from unlearning.compliance.requests.requests import Request
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.core.files import write_json, write_text
from unlearning.data.splits import Split
from unlearning.steps.certify import certify
from unlearning.steps.collect import collect
from unlearning.storage.open import open_store

SIZES = (1_000, 2_000, 4_000, 10_000)
SAME = 400
"""Persons who ask for one and the same record."""

NOISE = """\
data: {{image_side: 8}}
split: {{members: {members}, calibration: 60, holdout: {holdout}, test: 60}}
training: {{epochs: 1, batch_size: 500}}
"""
"""Laid over the recipe `image-folder-supervised`."""


class Cost(Config):
    """What one thing took."""

    requests: int
    what: str
    seconds: float
    objects: int
    """In the store afterwards."""


class Report(Config):
    """All of it."""

    commit: str
    machine: str
    costs: tuple[Cost, ...]


def pictures(folder: Path, count: int) -> None:
    """Noise as PNG files in two classes."""
    draw = np.random.default_rng(0)
    for number in range(count):
        place = folder / ("a" if number % 2 else "b") / f"{number:06}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8)).save(place)


@contextmanager
def office(folder: Path) -> Iterator[None]:
    """This process's settings are those of an office of its own."""
    mine = environment(folder, settings.from_environment().commit) | {"UNLEARNING_DATA": str(folder / "pictures")}
    before = {name: os.environ.get(name) for name in mine}
    os.environ.update(mine)
    (folder / "home").mkdir(parents=True)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def serve(folder: Path, asking: int) -> Split:
    """Train a model that serves on more than twice as many members as will ask, and hold out as many."""
    members, holdout = max(200, asking + 200), max(100, asking // 2 + 100)
    pictures(folder / "pictures", members + holdout + 160)
    overrides = NOISE.format(members=members, holdout=holdout)
    return register_original(folder / "made", recipe="image-folder-supervised", overrides=overrides, names=("noise",))


def costs(asked: Sequence[Request], now: datetime) -> Iterator[Cost]:
    """Add requests, collect them, and certify what was settled at once."""
    store = open_store(settings.from_environment().store)

    def timed(what: str, work: Callable[[], object]) -> Cost:
        begun = time.perf_counter()
        work()
        seconds = round(time.perf_counter() - begun, 2)
        return Cost(requests=len(asked), what=what, seconds=seconds, objects=sum(1 for _ in store.iterate("")))

    yield timed("add", lambda: intake.add(store, asked, by="benchmark", now=now))
    yield timed("add again", lambda: intake.add(store, asked, by="benchmark", now=now))
    yield timed("collect", lambda: collect(batch="batch", now=now))
    yield timed("certify", lambda: certify(now=now, key=keys.new()))


def measure(size: int, *, same: bool = False) -> Iterator[Cost]:
    """One size, in an office of its own.

    Args:
        same: everybody asks for one and the same record.
    """
    now = datetime.now(UTC)
    folder = Path(tempfile.mkdtemp(prefix="requests-"))
    try:
        with office(folder):
            divided = serve(folder, 0 if same else size)
            half = size // 2
            records = divided.members[:1] * size if same else (*divided.members[:half], *divided.holdout[: size - half])
            asked = [
                Request(id=f"R-{number}", records=(record,), received=now - timedelta(minutes=number % 1_000))
                for number, record in enumerate(records)
            ]
            for cost in costs(asked, now):
                yield cost.model_copy(update={"what": f"{cost.what}, one record"}) if same else cost
    finally:
        shutil.rmtree(folder)


def page(report: Report) -> str:
    """A table in Markdown."""
    lines = [
        "# Many requests",
        "",
        f"`python -m benchmarks.requests`, commit `{report.commit[:12]}`, {report.machine}, a local store "
        "and MLflow on SQLite. Half of those who ask are members of the model and are claimed; half were held out: "
        "they are settled at once, and certified.",
        "",
        "| requests | what | seconds | a request, ms | objects in the store |",
        "|---|---|---|---|---|",
        *(
            f"| {each.requests:,} | {each.what} | {each.seconds:.1f} | {1000 * each.seconds / each.requests:.1f} "
            f"| {each.objects:,} |"
            for each in report.costs
        ),
    ]
    return "\n".join([*lines, ""])


def main(
    size: Annotated[list[int] | None, typer.Option(help="How many requests; repeat for more.")] = None,
    same: Annotated[int, typer.Option(help="How many ask for one record; 0 for none.")] = SAME,
    output: Annotated[Path, typer.Option(help="JSON; the page beside it has the same name.")] = Path(
        "benchmarks/results/requests.json"
    ),
) -> None:
    """Measure what many requests cost."""
    found: list[Cost] = []
    sizes = [(each, False) for each in size or SIZES] + ([(same, True)] if same else [])
    for number, one in sizes:
        for cost in measure(number, same=one):
            typer.echo(f"{cost.requests:>7} {cost.what:<22} {cost.seconds:8.2f} s  {cost.objects} objects")
            found.append(cost)
    report = Report(commit=settings.from_environment().commit, machine=machine(), costs=tuple(found))
    write_json(output, report.model_dump(mode="json"))
    write_text(output.with_suffix(".md"), page(report))


if __name__ == "__main__":
    typer.run(main)
