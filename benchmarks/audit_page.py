"""The page of the audit's benchmark: how often the audit is right, and what it can see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from benchmarks import power
from unlearning.audit.escalation import AttemptName
from unlearning.audit.policy import Margins
from unlearning.audit.results import Outcome
from unlearning.audit.statistics import proportion_interval
from unlearning.core.config import Config
from unlearning.core.files import write_text


class Judged(Config):
    """One model, one forget set, and what the audit said."""

    paradigm: str
    seed: int
    kind: str
    outcome: Outcome
    gaps: dict[str, float]
    """AUC above what the references show, by attack."""
    errors: dict[str, float]
    """Half-widths of their 90 % intervals."""
    forgotten: int
    holdout: int
    commit: str
    machine: str


JUDGED = TypeAdapter(list[Judged])


WANTED = {
    "never_trained": ("false alarms", ("leaks", "over_forgotten"), "at most .05"),
    "untouched": ("found to leak", ("leaks",), "near 1"),
    "retrained": ("passed or inconclusive", ("passed", "inconclusive"), "at least .95"),
    "over_forgotten": ("found over-forgotten", ("over_forgotten",), "near 1"),
    "offset_only": ("found to leak", ("leaks",), "near 1"),
}


TRIED: dict[str, AttemptName] = {"gradient_matching": "first", "stronger_1": "stronger_1", "stronger_2": "stronger_2"}
"""Attempts of gradient matching under the escalation policy, by kind of model."""

KINDS = (*WANTED, *TRIED)

MARGINS = Margins()
"""The default ones."""


def _groups(found: list[Judged]) -> dict[tuple[str, str], list[Judged]]:
    """Verdicts by paradigm and kind, in reading order; none is empty."""
    order = [(paradigm, kind) for paradigm in sorted({each.paradigm for each in found}) for kind in KINDS]
    groups = {key: [each for each in found if (each.paradigm, each.kind) == key] for key in order}
    return {key: some for key, some in groups.items() if some}


def measured_errors(rows: list[Judged]) -> dict[int, list[float]]:
    """Standard error of each attack's difference on retrained models, a mean per paradigm, by forgotten records."""
    errors: dict[int, list[float]] = {}
    for (_, kind), some in _groups(rows).items():
        if kind == "retrained":
            means = [np.mean([each.errors[name] for each in some]) / power.NINETY for name in some[0].errors]
            errors.setdefault(some[0].forgotten, []).extend(float(mean) for mean in means)
    return errors


def render(rows: list[Judged], simulated: Sequence[power.Simulated] = (), picture: str = "") -> str:
    """The page.

    Args:
        rows: every verdict.
        simulated: what an audit can see; none for a page without it.
        picture: file name of the figure of that.
    """
    lines = [
        "# Does the audit keep its promises?", "",
        "Models whose right verdict is known, judged beside 16 reference models (14 where one of them is judged);",
        "accuracy is left out. Rates have exact 95 % intervals (Clopper & Pearson); sets that share a model are not",
        "independent, so intervals of `never_trained` and `untouched` are a little too narrow. Margins of "
        f"{MARGINS.auc_margin} AUC,",
        f"{MARGINS.record_margin} of the records recognised and {MARGINS.memory_margin} of individual memory.",
        "Below them gradient matching with its own and with its two escalated settings, each from the",
        "original: nobody knows what should be said of those.", "",
        "| paradigm | models | what should happen | rate | wanted | verdicts |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    groups = _groups(rows)
    for (paradigm, kind), some in groups.items():
        verdicts = ", ".join(f"{name} {count}" for name, count in Counter(each.outcome for each in some).most_common())
        what, right, wanted = WANTED.get(kind, ("—", (), "—"))
        rate = proportion_interval(sum(each.outcome in right for each in some), len(some))
        shown = f"{rate.estimate:.3f} [{rate.low:.3f}, {rate.high:.3f}]" if right else "—"
        lines.append(f"| {paradigm} | {kind}, {len(some)} | {what} | {shown} | {wanted} | {verdicts} |")
    lines += ["", "Mean of what they show above the references: AUC by attack, and measures of single records:", ""]
    attacks = list(rows[0].gaps)
    lines += [f"| paradigm | models | {' | '.join(attacks)} |", "|---" * (2 + len(attacks)) + "|"]
    for (paradigm, kind), some in groups.items():
        means = [f"{np.mean([each.gaps[name] for each in some]):+.3f}" for name in attacks]
        lines.append(f"| {paradigm} | {kind} | {' | '.join(means)} |")
    commits = ", ".join(sorted({each.commit[:12] for each in rows}))
    lines += ["", f"Command: `python -m benchmarks.audit`. Commits: {commits}. Machine: {rows[0].machine}."]
    lines += [*power.lines(simulated, picture), ""]
    return "\n".join(lines)


def show(rows: list[Judged], simulated: Sequence[power.Simulated], output: Path) -> None:
    """Write the page and its figure beside `output`, each where there is anything to say."""
    picture = output.with_name(f"{output.stem}-power.svg")
    if simulated:
        write_text(picture, power.figure(simulated, measured_errors(rows)))
    if rows:
        write_text(output.with_suffix(".md"), render(rows, simulated, picture.name))
