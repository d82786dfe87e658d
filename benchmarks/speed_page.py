"""Speed results as a page: each figure with its goal, and whether it is held."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.speed_rows import Goal, Memory, Ratio, Speed

INTRODUCTION = """\
# How fast it is, and how much memory it takes

Seconds mean little on another machine, ratios more: both sides of a ratio were measured in one process, in turn
(A B A B …), after one round that does not count. Each ratio is the median of its repeats with the 95 % interval that
order statistics give; of fewer than six repeats, with their whole range. A goal is held when the whole interval is on
its right side.
"""

STEPS = """\
## A step of gradient matching, over a plain training step

The plain step is one of `finetune` on the same retain set, in batches of the same size with the same optimiser. In
the step with the penalty the penalty is never left out (`tolerance: null`, `active: 1`), as it may be in the recipes.
"With drift" is the recipe's step, which also holds the retain set's features where they were. Seconds are of a step;
what a method does once, before and after its steps, is spread over them.
"""

LIGHTLY = """\
## An epoch of SimCLR, over lightly's loader, transforms and loss

Seconds of lightly's epoch over ours, so larger is better. Same images, encoder, first weights, batch size, number of
steps and optimiser on both sides. Lightly's has its `SimCLRTransform` on PIL images held in memory (random resized
crop, flip, brightness and contrast as strong as in the recipe; no blur, grey, hue, saturation or normalisation), a
torch `DataLoader`, and `NTXentLoss`. A worker is one more process than we use.
"""

RETRAINING = """\
## Unlearning, over exact retraining

The recipe's gradient matching. Retraining runs once between the repeats of unlearning, so the range is of unlearning
alone.
"""

MEMORY = """\
## Peak memory above the imports

Each in a fresh process: resident memory at its highest, minus that once all modules were imported; what libraries
load on first use counts. Every image of the data set is ingested and nearly all that are not held back are members,
far more than in the recipe; of each group that a step works on, all are made ready and 1,000 go through the model,
since more batches take no more memory.
"""


def _goal(goal: Goal | None, unit: str = "") -> str:
    return f"{goal.side} {goal.bound:g}{unit}" if goal else "—"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines)]


def _ratios(rows: Sequence[Ratio]) -> list[str]:
    head = ("paradigm", "what", "over", "ratio", "repeats", "seconds", "goal", "is it held")
    lines = []
    for row in rows:
        what = f"{row.what} ({row.note})" if row.note else row.what
        figure = f"{row.median:.3g} [{row.low:.3g}, {row.high:.3g}]"
        seconds = f"{row.seconds:.3g} / {row.over_seconds:.3g}"
        lines.append((row.paradigm, what, row.over, figure, str(row.repeats), seconds, _goal(row.goal), row.held))
    return _table(head, lines)


def _memory(rows: Sequence[Memory]) -> list[str]:
    head = ("paradigm", "what", "records", "MiB", "imports, MiB", "goal", "is it held")
    lines = [
        (row.paradigm, row.what, f"{row.records:,}", f"{row.mebibytes:.0f}", f"{row.imports:.0f}",
         _goal(row.goal, " MiB"), row.held)
        for row in rows
    ]  # fmt: skip
    return _table(head, lines)


def render(speed: Speed) -> str:
    """The whole page, in Markdown."""
    lines = [INTRODUCTION]
    for title, over in ((STEPS, "plain step"), (LIGHTLY, "ours"), (RETRAINING, "retraining")):
        if found := [row for row in speed.ratios if row.over == over]:
            lines += [title, *_ratios(found), ""]
    if speed.memory:
        lines += [MEMORY, *_memory(speed.memory), ""]
    if speed.skipped:
        lines += ["## Not measured", "", *(f"- {line}" for line in speed.skipped), ""]
    lines += [
        "## Where from",
        "",
        f"Command: `python -m benchmarks.speed`, which took {speed.seconds:.0f} s.",
        f"Recipes `{speed.dataset}-*`, seed {speed.seed}.",
        f"Commit: {speed.commit}.",
        f"Machine: {speed.machine}.",
        "",
    ]
    return "\n".join(lines)
