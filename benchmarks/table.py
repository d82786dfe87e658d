"""Results as a page: means over seeds with 95 % intervals, gap to the retrained model first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np

from benchmarks import contest
from benchmarks.means import Mean, mean
from benchmarks.rows import Row
from unlearning.learning.paradigms import PARADIGMS
from unlearning.methods import METHODS
from unlearning.reporting.figures.methods import MeasuredValue, MethodPoint, auc_against_accuracy

GAP_BOUND = 0.02
"""Largest AUC gap to the retrained model, either way, that gradient matching set out to reach."""
LOST_BOUND = 1.0
"""Largest loss of accuracy against the retrained model, in percentage points."""
MODELS = ("original", "retrain", *(name for name in METHODS if name != "retrain"))

INTRODUCTION = """\
# How well each method forgets

At the scale of one CPU. Every figure is a mean over seeds with its 95 % t-interval; AUC and rates are of the forget
set against holdout non-members.

| column | meaning | ideal |
|---|---|---|
| gap | AUC of the strongest of six attacks, minus that of the retrained model's strongest | 0 |
| largest | the largest difference, either way, of any attack's AUC to its AUC on the retrained model; never 0 | small |
| AUC | strongest attack | the retrained model's |
| TPR | share of forgotten records found at 1 % false alarms, strongest attack | .01 |
| accuracy | strongest attack's balanced accuracy | .5 |
| lost | points of accuracy below the retrained model: weighted kNN, linear probe, own classifier | ≤ 0 |
| forget | kNN accuracy on the forget set | the retrained model's |
| retained | retained members' own AUC (loss), and minus the retrained model's; lower: all were blurred | 0 apart |
| time | seconds over those of retraining, one thread each, and the seconds | small |

Recipes are those of `make run` with half the members and about as many steps (`benchmarks/conditions.py`).
Settings of every approximate method were searched with the same number of trials on seeds that are not reported
(`tuning.json`; `python -m benchmarks.tuning`).
"""


@dataclass(frozen=True)
class Group:
    """One method's rows of all seeds, and the retrained models' of the same seeds."""

    rows: Sequence[Row]
    retrained: dict[int, Row]

    def over_seeds(self, figure: Callable[[Row], float]) -> Mean:
        return mean(figure(row) for row in self.rows)

    def against_retrained(self, figure: Callable[[Row, Row], float]) -> Mean:
        return mean(figure(row, self.retrained[row.seed]) for row in self.rows)

    @property
    def gap(self) -> Mean:
        return self.against_retrained(lambda row, other: row.strongest - other.strongest)

    def lost(self, measure: str) -> Mean:
        """Points of accuracy below the retrained model."""
        return self.against_retrained(lambda row, other: 100 * (other.accuracies[measure] - row.accuracies[measure]))

    @property
    def measures(self) -> list[str]:
        """The accuracies that this paradigm has."""
        return [name for name in ("knn", "linear_probe", "classifier") if name in self.rows[0].accuracies]

    @property
    def most_lost(self) -> Mean:
        """Of the accuracy that suffered most."""
        return max((self.lost(name) for name in self.measures), key=lambda found: found.value)


def group(rows: Iterable[Row], **conditions: object) -> dict[str, Group]:
    """Rows that meet the conditions, by method, in the order of the methods; methods without rows are left out."""
    chosen = [row for row in rows if all(getattr(row, name) == value for name, value in conditions.items())]
    retrained = {row.seed: row for row in chosen if row.method == "retrain"}
    found = {}
    for method in MODELS:
        own = [row for row in chosen if row.method == method and row.seed in retrained]
        if own:
            found[method] = Group(own, retrained)
    return found


def _tpr(row: Row) -> float:
    return max(attack.tpr_at_1_fpr for attack in row.attacks.values())


def _accuracy(row: Row) -> float:
    return max(attack.accuracy for attack in row.attacks.values())


def _line(method: str, found: Group) -> str:
    blurred = found.against_retrained(lambda row, other: row.retained_auc - other.retained_auc)
    cells = [
        f"`{method}`",
        found.gap.text(),
        found.over_seeds(lambda row: abs(row.largest_gap)).text(),
        found.over_seeds(lambda row: row.strongest).text(),
        found.over_seeds(_tpr).text(),
        found.over_seeds(_accuracy).text(),
        "; ".join(found.lost(name).text(1) for name in found.measures),
        found.over_seeds(lambda row: row.accuracies["forget_knn"]).text(),
        f"{found.over_seeds(lambda row: row.retained_auc).text()} ({blurred.text()})",
        f"{found.over_seeds(lambda row: row.ratio).text()} ({found.over_seeds(lambda row: row.seconds).value:.1f} s)",
    ]
    return f"| {' | '.join(cells)} |"


def _table(groups: dict[str, Group]) -> list[str]:
    head = ["method", "gap", "largest", "AUC", "TPR", "accuracy", "lost", "forget", "retained", "time"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return lines + [_line(method, found) for method, found in groups.items()]


def _bounds(paradigm: str, groups: dict[str, Group]) -> list[str]:
    """What the method set out to reach, and whether it does."""
    if "gradient_matching" not in groups or "original" not in groups:
        return []
    ours = groups["gradient_matching"]
    gap, worst = ours.gap, ours.most_lost
    limit = 0.1 if paradigm == "supervised" else 0.05
    leak = groups["original"].over_seeds(lambda row: row.strongest)
    time = ours.over_seeds(lambda row: row.ratio)
    return [
        "",
        f"- The original leaks, AUC at least .65: {leak.within(0.65, np.inf)} ({leak.text()}).",
        f"- `gradient_matching` within .02 of the retrained AUC: {gap.within(-GAP_BOUND, GAP_BOUND)} ({gap.text()}).",
        f"- At most 1 point of accuracy lost, worst measure: {worst.within(-np.inf, LOST_BOUND)} ({worst.text(1)}).",
        f"- At most {100 * limit:g} % of the time of retraining: {time.within(-np.inf, limit)} ({time.text()}).",
    ]


def _sweep(
    rows: Sequence[Row], title: str, field: str, values: Sequence[object], fixed: dict[str, object]
) -> list[str]:
    """One line per paradigm, value and method: gap, AUC before and after, accuracy and time."""
    lines = []
    for paradigm in PARADIGMS:
        for value in values:
            groups = group(rows, paradigm=paradigm, **(fixed | {field: value}))
            if "original" not in groups:
                continue
            before = groups["original"].over_seeds(lambda row: row.strongest).text()
            after = groups["retrain"].over_seeds(lambda row: row.strongest).text()
            for method, found in groups.items():
                if method in ("original", "retrain"):
                    continue
                cells = (paradigm, str(value), f"`{method}`", str(len(found.rows)), found.gap.text(), before, after,
                         found.over_seeds(lambda row: row.strongest).text(), found.lost("knn").text(1),
                         found.over_seeds(lambda row: row.ratio).text())  # fmt: skip
                lines.append(f"| {' | '.join(cells)} |")
    if not lines:
        return []
    head = ("paradigm", field.replace("_", " "), "method", "seeds", "gap", "AUC original", "AUC retrained", "AUC",
            "kNN lost", "time")  # fmt: skip
    return ["", f"## {title}", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines]


def _short(commit: str) -> str:
    """The first digits, and still the mark of a checkout with changes."""
    digits, *mark = commit.split("-", 1)
    return "-".join([digits[:12], *mark])


def figures(rows: Sequence[Row]) -> dict[str, str]:
    """AUC against accuracy over the methods, as SVG text, by paradigm."""
    found = {}
    for paradigm in PARADIGMS:
        groups = group(rows, paradigm=paradigm, sweep="main")
        methods = [
            MethodPoint(
                name,
                MeasuredValue(each.gap.value, each.gap.half),
                MeasuredValue(each.most_lost.value, each.most_lost.half),
            )
            for name, each in groups.items()
            if name != "retrain"
        ]
        if methods:
            found[paradigm] = auc_against_accuracy(
                methods, f"methods-{paradigm}", gap_bound=GAP_BOUND, lost_bound=LOST_BOUND, title=paradigm
            )
    return found


def figure_name(stem: str, paradigm: str) -> str:
    """File name of a paradigm's figure beside the page `<stem>.md`."""
    return f"{stem}-{paradigm}.svg"


def _shown(stem: str, paradigm: str) -> list[str]:
    alt = f"AUC gap to the retrained model against accuracy lost, a point per method, on {paradigm}"
    return [
        "",
        f"![{alt}]({quote(figure_name(stem, paradigm))})",
        "",
        "Down and to the middle is better; the grey region is what the method set out to reach. The accuracy is the "
        "one that suffered most. Beyond 0.05 and 2 points the axes are logarithmic.",
    ]


def render(rows: Sequence[Row], stem: str = "") -> str:
    """The whole page, in Markdown; with `stem`, the page's own name, it shows the figures beside it."""
    lines = [INTRODUCTION]
    for paradigm in PARADIGMS:
        groups = group(rows, paradigm=paradigm, sweep="main")
        if not groups:
            continue
        seeds = sorted({row.seed for found in groups.values() for row in found.rows})
        recipe = next(iter(groups.values())).rows[0].recipe
        where = f"Recipe `{recipe}`. Seeds {', '.join(map(str, seeds))}."
        lines += ["", f"## {paradigm}", "", where, "", *_table(groups)]
        if stem and set(groups) > {"retrain"}:
            lines += _shown(stem, paradigm)
        lines += _bounds(paradigm, groups)
        lines += contest.lines([row for row in rows if (row.paradigm, row.sweep) == (paradigm, "main")])
    whole: dict[str, object] = {"epochs_factor": 1.0}
    shares = sorted({row.fraction for row in rows if row.kind == "random"})
    kinds = ("random", "class", "cluster")
    degrees = sorted({row.epochs_factor for row in rows})
    if any(row.sweep == "fraction" for row in rows):
        lines += _sweep(rows, "How much is forgotten", "fraction", shares, whole | {"kind": "random"})
    if any(row.sweep == "kind" for row in rows):
        lines += _sweep(rows, "What is forgotten", "kind", kinds, whole | {"fraction": 0.1})
    if any(row.sweep == "overfitting" for row in rows):
        fixed: dict[str, object] = {"kind": "random", "fraction": 0.2}
        lines += _sweep(rows, "How overfitted the original is", "epochs_factor", degrees, fixed)
    commits = sorted({_short(row.commit) for row in rows})
    machines = sorted({row.machine for row in rows})
    lines += ["", "## Where from", "", "Command: `python -m benchmarks.run`.", f"Commits: {', '.join(commits)}."]
    lines += [f"Machine: {'; '.join(machines)}."]
    if len({row.code for row in rows}) > 1:
        lines.append("Not all rows were measured with the same code: run the command again to bring them up to date.")
    lines.append("")
    return "\n".join(lines)
