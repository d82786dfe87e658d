"""The page of the ablation: what each choice that the paper's readers leave open comes to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter

from benchmarks.means import mean
from unlearning.audit.results import Outcome
from unlearning.core.config import Config
from unlearning.core.files import sha256_json, write_text

INTRODUCTION = """\
# The gradient penalty in WGAN-GP's form: which choices matter?

What readers of the paper do not tell, crossed: the function f that is differentiated, where (`mixed`: between members
and non-members; `members`: at members alone), the target, and λ. λ = 0 is the control without a penalty. Everything
else is as in the recipe, and all of it on tuning seeds: a guide to settings, not a result.

| column | meaning | ideal |
|---|---|---|
| LiRA | AUC of online LiRA above what references show | 0 |
| TPR | share of forgotten records that it recognises at 1 % false alarms | .01 |
| memory | slope of individual memory, minus that of references | 0 |
| strongest | largest AUC above what references show, of all attacks, and whose it is | 0 |
| kNN lost | points of accuracy below the exactly retrained model | ≤ 0 |
| time | seconds over those of retraining | small |

Of several forget sets these are means with 95 % t-intervals; the strongest attack is that of the first.
"""
SETTINGS = ("of", "at", "target", "weight")


class Ablated(Config):
    """One model of one forget set, beside references."""

    paradigm: str
    seed: int
    turn: int = Field(description="Which forget set of the original.")
    method: str
    settings: dict[str, Any] = Field(description="What differs from the recipe's.")
    outcome: Outcome | None = Field(description="None: the method diverged, and figures are the original's.")
    lira: float
    tpr: float
    memory: float
    strongest: str
    strongest_gap: float
    knn_lost: float
    ratio: float
    context: str = Field(description="Digest of sources, data, training and the recipe's settings.")
    commit: str
    machine: str

    @property
    def key(self) -> str:
        """What a row is about: a second one of the same key replaces the first."""
        return row_key(self.paradigm, self.seed, self.turn, self.method, self.settings)


ABLATED = TypeAdapter(list[Ablated])


def row_key(paradigm: str, seed: int, turn: int, method: str, settings: dict[str, Any]) -> str:
    """Identity of a row."""
    return sha256_json([paradigm, seed, turn, method, settings])


def _line(rows: Sequence[Ablated]) -> str:
    first = rows[0]
    outcomes = [row.outcome or "diverged" for row in rows]
    cells = [
        f"`{first.method}`",
        *(f"{first.settings[name]}" if name in first.settings else "" for name in SETTINGS),
        mean(row.lira for row in rows).text(),
        mean(row.tpr for row in rows).text(),
        mean(row.memory for row in rows).text(2),
        f"{mean(row.strongest_gap for row in rows).text()} {first.strongest}",
        mean(row.knn_lost for row in rows).text(1),
        mean(row.ratio for row in rows).text(2),
        ", ".join(f"{name} {outcomes.count(name)}" for name in sorted(set(outcomes))),
    ]
    return f"| {' | '.join(cells)} |"


def render(rows: Sequence[Ablated]) -> str:
    """The whole page, in Markdown; of each paradigm what is not a setting first, then the smallest LiRA gap."""
    head = ("method", "f", "at", "target", "λ", "LiRA", "TPR", "memory", "strongest", "kNN lost", "time", "verdicts")
    lines = [INTRODUCTION]
    for paradigm in dict.fromkeys(row.paradigm for row in rows):
        groups: dict[str, list[Ablated]] = {}
        for row in rows:
            if row.paradigm == paradigm:
                groups.setdefault(row_key(paradigm, 0, 0, row.method, row.settings), []).append(row)
        order = sorted(
            groups.values(), key=lambda some: (bool(some[0].settings), abs(mean(row.lira for row in some).value))
        )
        seeds = ", ".join(str(seed) for seed in sorted({row.seed for row in rows if row.paradigm == paradigm}))
        sets = len({(row.seed, row.turn) for row in rows if row.paradigm == paradigm})
        lines += [f"## {paradigm}", "", f"Seeds {seeds}; forget sets: {sets}.", ""]
        lines += [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *map(_line, order), ""]
    commits = ", ".join(sorted({row.commit[:12] for row in rows}))
    machines = "; ".join(sorted({row.machine for row in rows}))
    lines += [f"Command: `python -m benchmarks.ablation`. Commits: {commits}. Machine: {machines}.", ""]
    return "\n".join(lines)


def show(rows: Sequence[Ablated], output: Path) -> None:
    """Write the page beside `output`, where there is anything to say."""
    if rows:
        write_text(output.with_suffix(".md"), render(rows))
