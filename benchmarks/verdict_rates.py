"""`python -m benchmarks.verdict_rates`: how often is the verdict right, over thousands of audits?

Training thousands of models would take months, so what they show is drawn (see `simulated_models`): references, a
candidate whose right verdict is known, and forgotten records beside a holdout. Everything after that is the audit
itself, but for the learned attacks, whose fits would take nearly all of the time: every signal is an attack, together
with those that ask references, and all measures of single records. Accuracy is left out.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter

from benchmarks.pool import in_parallel
from benchmarks.rows import machine
from benchmarks.simulated_models import KINDS, SimulatedWorld, simple_attacks, world
from unlearning.audit.audit import Expectation, compare, expectation, gaps_of
from unlearning.audit.policy import Margins
from unlearning.audit.reference_baseline import attack_model
from unlearning.audit.results import Interval, Outcome
from unlearning.audit.statistics import proportion_interval
from unlearning.audit.verdict import judge_gaps
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.core.files import read_json, write_json, write_text

HOLDOUT = 300
REFERENCES = 16
SIZES = (20, 50, 100, 200, 400)
LARGEST = max(SIZES)
AT_EVERY_SIZE = ("never trained", "exactly retrained")
"""Kinds that must not raise an alarm however few records there are. Of the others few records can say nothing, so that
they are tried at the largest size, where passing is possible."""
CHUNK = 50


class Chunk(Config):
    """Worlds that one process draws."""

    forgotten: int
    first: int
    worlds: int = CHUNK

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which models are judged in each."""
        return tuple(KINDS) if self.forgotten == LARGEST else AT_EVERY_SIZE


class Tally(Config):
    """Verdicts of a chunk, by kind of model."""

    chunk: Chunk
    outcomes: dict[str, dict[Outcome, int]]
    commit: str
    machine: str


TALLIES = TypeAdapter(list[Tally])


def judged(drawn: SimulatedWorld, expected: Expectation, kind: str, seed: int) -> Outcome:
    """The verdict on one model of a kind."""
    chosen = KINDS[kind]
    shown = drawn.shown(chosen.kept(drawn), chosen.lifted)
    scores = attack_model(shown, drawn.forgotten, seed, simple_attacks)
    gaps = gaps_of(shown, scores, drawn.forgotten, expected)
    if kind != "exactly retrained":
        compared = compare(scores, expected.placements, "references", seed, gaps)
    else:
        other = attack_model(drawn.shown(chosen.kept(drawn)), drawn.forgotten, seed, simple_attacks)
        retrained = {name: each.placements for name, each in other.items()}
        compared = compare(scores, retrained, "retrained", seed, gaps)
    return judge_gaps(compared.attacks, compared.single_records, Margins())[0]


def tally(chunk: Chunk) -> Tally:
    """Every verdict of a chunk; the seed of a world is its number."""
    found: dict[str, Counter[Outcome]] = {kind: Counter() for kind in chunk.kinds}
    for seed in range(chunk.first, chunk.first + chunk.worlds):
        drawn = world(seed, forgotten=chunk.forgotten, holdout=HOLDOUT, references=REFERENCES)
        expected = expectation(drawn.forgotten, seed, simple_attacks)
        for kind in chunk.kinds:
            found[kind][judged(drawn, expected, kind, seed)] += 1
    return Tally(
        chunk=chunk,
        outcomes={kind: dict(counts) for kind, counts in found.items()},
        commit=settings.from_environment().commit,
        machine=machine(),
    )


def mistakes(counts: Counter[Outcome], kind: str) -> Interval:
    """Share of verdicts that are wrong, with an exact 95 % interval."""
    return proportion_interval(sum(counts[each] for each in KINDS[kind].wrong), counts.total())


def _summed(tallies: list[Tally]) -> dict[tuple[str, int], Counter[Outcome]]:
    found: dict[tuple[str, int], Counter[Outcome]] = {}
    for each in tallies:
        for kind, counts in each.outcomes.items():
            found.setdefault((kind, each.chunk.forgotten), Counter()).update(counts)
    return {(kind, size): found[kind, size] for kind in KINDS for size in SIZES if (kind, size) in found}


def _all(name: str, tallies: list[Tally]) -> str:
    return ", ".join(sorted({getattr(each, name) for each in tallies}))


def page(tallies: list[Tally]) -> str:
    """Rates by kind and size, beside what they may be."""
    margins = Margins()
    rows = []
    for (kind, size), counts in _summed(tallies).items():
        wrong = mistakes(counts, kind)
        told = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        rows.append(
            f"| {kind} | {size} | {' or '.join(KINDS[kind].wrong)} | {wrong.estimate:.3f} "
            f"[{wrong.low:.3f}, {wrong.high:.3f}] | {KINDS[kind].at_most:g} | {told} |"
        )
    head = ("models", "forgotten", "mistake", "rate", "at most", "verdicts")
    return "\n".join(
        [
            "# How often is the verdict right?", "",
            "Simulated audits: what models show is drawn, the audit itself is real, but for its learned attacks (see",
            f"`benchmarks/simulated_models.py`). {REFERENCES} references, {HOLDOUT} records in the holdout, margins of "
            f"± {margins.auc_margin} AUC,", f"+{margins.record_margin} of the records, ± {margins.memory_margin} of "
            "individual memory. Rates of mistakes with exact 95 % intervals (Clopper & Pearson).", "",
            f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows, "",
            "Command: `python -m benchmarks.verdict_rates`; it goes on where it was interrupted. Measured at "
            f"{_all('commit', tallies)} on {_all('machine', tallies)}.",
            "",
        ]
    )  # fmt: skip


def main(
    sets: Annotated[int, typer.Option(min=CHUNK, help="Simulated audits per kind of model and size.")] = 2000,
    jobs: Annotated[int, typer.Option(min=1, help="Processes side by side, one thread each.")] = 2,
    output: Annotated[Path, typer.Option(help="JSON; the page beside it.")] = Path(
        "benchmarks/results/verdict_rates.json"
    ),
) -> None:
    """Measure how often the verdict is wrong. What `output` holds is not simulated again."""
    found = TALLIES.validate_python(read_json(output, "simulated verdicts")) if output.exists() else []
    done = {(each.chunk.forgotten, each.chunk.first) for each in found}
    work = [
        Chunk(forgotten=size, first=first)
        for first in range(0, sets, CHUNK)
        for size in SIZES
        if (size, first) not in done
    ]
    label: Any = lambda chunk: f"{chunk.forgotten} forgotten, from {chunk.first}"  # noqa: E731
    for _, fresh in in_parallel(tally, work, jobs=jobs, label=label):
        found.append(fresh)
        write_json(output, TALLIES.dump_python(found, mode="json"))
        write_text(output.with_suffix(".md"), page(found))
    typer.echo(f"{sum(each.chunk.worlds for each in found)} simulated worlds in {output}")


if __name__ == "__main__":
    typer.run(main)
