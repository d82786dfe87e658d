"""ROC curves of one attack on every model, with bands."""

from __future__ import annotations

from typing import Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from unlearning.audit.results import Roc, strongest_attack
from unlearning.core.errors import UserError
from unlearning.reporting.figures.audit import attack_on, ordered_models
from unlearning.reporting.figures.roc_bands import independent_non_members, roc_band
from unlearning.reporting.figures.style import COLOURS, INK, LINES, STYLE, svg
from unlearning.reporting.summary import Summary

Scale = Literal["linear", "log"]
Floats = npt.NDArray[np.float64]
STEPS = 600
"""False-positive rates at which a band is drawn."""
BETWEEN = 20
"""Pieces that a stretch between two points of a curve is drawn in."""


def attacks_shown(summary: Summary) -> tuple[str, ...]:
    """The strongest attack on the original, then that on the unlearned model where it is another one."""
    models = ordered_models(summary)
    strongest = (strongest_attack(models[name].audit) for name in ("original", "unlearned"))
    return tuple(dict.fromkeys(strongest))


def audited_records(summary: Summary) -> tuple[int, int]:
    """How many forgotten and how many holdout records were attacked.

    Raises:
        UserError: the summary does not say.
    """
    forgotten, holdout = summary.forget.records, summary.split.sizes.get("holdout", 0)
    if min(forgotten, holdout) < 1:
        raise UserError("summary: forget.records and split.sizes.holdout: no records to draw a ROC curve of")
    return forgotten, holdout


def smallest_rates(summary: Summary) -> tuple[float, float]:
    """Where logarithmic axes begin, false-positive rate first: half a record, which stands for none."""
    forgotten, holdout = audited_records(summary)
    return 1 / (2 * holdout), 1 / (2 * forgotten)


def roc_curves(summary: Summary, attack: str, scale: Scale = "linear") -> str:
    """ROC of one attack on every model, with 95 % bands; the log scale shows the few-false-alarms corner."""
    results = {name: attack_on(model, attack) for name, model in ordered_models(summary).items()}
    left, bottom = smallest_rates(summary) if scale == "log" else (0.0, 0.0)
    steps = np.geomspace(left, 1, STEPS) if scale == "log" else np.linspace(0, 1, STEPS)
    with mpl.rc_context(STYLE):
        figure = Figure((4.2, 4.1), layout="constrained")
        axes = figure.subplots()
        axes.plot(steps, steps, color=INK, linestyle=":", linewidth=1, label="chance 0.50")
        axes.axvline(0.01, color=INK, linewidth=0.6, alpha=0.6)
        axes.annotate("1 % FPR", (0.01, 1), (3, -1), textcoords="offset points", va="top", fontsize=8)
        for name, result in results.items():
            low, high = (np.maximum(bound, bottom) for bound in _band(summary, attack, result.roc, steps))
            axes.fill_between(steps, low, high, color=COLOURS[name], alpha=0.1, linewidth=0)
            for bound in (low, high):
                axes.plot(steps, bound, color=COLOURS[name], linestyle=LINES[name], linewidth=0.7)
        for name, result in results.items():
            across, up = _between_points(result.roc)
            label = f"{name} {result.auc.estimate:.2f}"
            drawn = np.maximum(across, left), np.maximum(up, bottom)
            axes.plot(*drawn, color=COLOURS[name], linestyle=LINES[name], linewidth=1.9, label=label)
        axes.set(xscale=scale, yscale=scale, xlim=(left, 1), ylim=(bottom, 1))
        axes.set(xlabel="false positives (FPR)", ylabel="forgotten recognised (TPR)")
        if scale == "log":
            _percent_ticks(axes)
        figure.legend(loc="outside upper center", ncols=2, title=f"AUC, attack {attack}")
        values = ", ".join(f"{name} {result.auc.estimate:.3f}" for name, result in results.items())
        label = f"ROC curves of attack {attack} with 95 % bands, {scale} axes. AUC: {values}; chance is 0.5."
        return svg(figure, f"roc-{scale}-{attack}", label)


def _between_points(curve: Roc) -> tuple[Floats, Floats]:
    """The curve with points between its own, since what is straight on linear axes is not on logarithmic ones."""
    own = np.arange(len(curve.false_positive_rate))
    fine = np.linspace(0, own[-1], BETWEEN * int(own[-1]) + 1)
    return np.interp(fine, own, curve.false_positive_rate), np.interp(fine, own, curve.true_positive_rate)


def _band(summary: Summary, attack: str, curve: Roc, steps: Floats) -> tuple[Floats, Floats]:
    forgotten, holdout = audited_records(summary)
    non_members = independent_non_members(attack, forgotten=forgotten, holdout=holdout)
    return roc_band(curve, steps, members=forgotten, non_members=non_members)


def _percent_ticks(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        axis.set_minor_formatter(NullFormatter())
