"""Figures of one run's audit, accuracy and cost."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unlearning.audit.escalation import RETRAINED, AttemptName, described
from unlearning.audit.results import AttackResult, Interval, SignalHistogram, Verdict
from unlearning.core.errors import UserError
from unlearning.reporting.figures.style import COLOURS, FORGET, INK, LINES, MARKERS, STYLE, svg
from unlearning.reporting.phrases import WORDS
from unlearning.reporting.summary import ModelSummary, Summary

MODELS = ("original", "unlearned", "retrained")
"""Reading order: before, after, and, where there is one, what a model not trained on the records would be."""
MEASURES = {"knn": "kNN", "linear_probe": "linear probe", "classifier": "classifier", "forget_knn": "forget-set kNN"}
"""Fields of Accuracies and what they are called on the page."""


def ordered_models(summary: Summary) -> dict[str, ModelSummary]:
    """The models in reading order, whatever order the JSON had; a retrained one only where it was compared with.

    Raises:
        UserError: one is missing, so there is nothing to compare.
    """
    wanted = MODELS if summary.verdict.compared_with == "retrained" else MODELS[:2]
    missing = [name for name in wanted if name not in summary.models]
    if missing:
        raise UserError(f"summary: models: {', '.join(missing)} missing; the report compares {', '.join(wanted)}")
    return {name: summary.models[name] for name in wanted}


def attack_on(model: ModelSummary, name: str) -> AttackResult:
    """One attack's result on one model.

    Raises:
        UserError: the model was not attacked so.
    """
    for attack in model.audit.attacks:
        if attack.name == name:
            return attack
    raise UserError(f"summary: models: attack {name!r} was run on the original but not on every model")


def leak_dots(summary: Summary, attack: str) -> str:
    """AUC of one attack on every model, with intervals."""
    results = {name: attack_on(model, attack).auc for name, model in ordered_models(summary).items()}
    with mpl.rc_context(STYLE):
        figure = Figure((3.6, 1.5), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0.5, color=INK, linestyle=":", linewidth=1)
        for row, (name, interval) in enumerate(results.items()):
            _dot(axes, interval, row, name)
        _rows(axes, list(results))
        axes.set_xlabel("AUC (dotted: cannot tell)")
        return svg(figure, "leak", f"AUC of attack {attack}: {_spoken(results)}; 0.5 cannot tell.")


def attack_forest(summary: Summary) -> str:
    """AUC with interval of every attack on every model, and the 0.5 line."""
    models = ordered_models(summary)
    names = [attack.name for attack in models["original"].audit.attacks]
    rows = {name: {key: attack_on(model, name).auc for key, model in models.items()} for name in names}
    label = " ".join(f"{name}: {_spoken(intervals)}." for name, intervals in rows.items())
    return _grouped_dots(rows, "attacks", f"AUC of each attack. {label}", "AUC, forget set against holdout", line=0.5)


def accuracy_dots(summary: Summary, measures: Sequence[str] = tuple(MEASURES), *, small: bool = False) -> str:
    """Accuracies with intervals of every model; measures that no model has are left out."""
    rows: dict[str, dict[str, Interval]] = {}
    for key, model in ordered_models(summary).items():
        for measure in measures:
            interval: Interval | None = getattr(model.accuracies, measure)
            if interval is not None:
                rows.setdefault(MEASURES[measure], {})[key] = interval
    label = " ".join(f"{measure}: {_spoken(intervals)}." for measure, intervals in rows.items())
    name = "accuracy-small" if small else "accuracy"
    return _grouped_dots(rows, name, f"Accuracy by measure. {label}", "share correct", width=3.6 if small else 4.2)


def cost_bars(summary: Summary) -> str:
    """Wall seconds that each model took to make."""
    seconds = {name: model.seconds for name, model in ordered_models(summary).items()}
    with mpl.rc_context(STYLE):
        figure = Figure((3.6, 1.5), layout="constrained")
        axes = figure.subplots()
        bars = axes.barh(range(len(seconds)), list(seconds.values()), 0.55, color=[COLOURS[name] for name in seconds])
        axes.bar_label(bars, [f"{value:,.1f} s" for value in seconds.values()], padding=3)
        _rows(axes, list(seconds))
        axes.set(xlim=(0, 1.3 * max(*seconds.values(), 1e-3)), xlabel="seconds to make")
        spoken = ", ".join(f"{name} {value:,.1f}" for name, value in seconds.items())
        return svg(figure, "cost", f"Seconds to make each model: {spoken}.")


def comparison_forest(verdict: Verdict, attempt: AttemptName | None = None) -> str:
    """Paired AUC difference per attack from what was compared with, and the margin as a band.

    Args:
        verdict: on the unlearned model, or on the candidate of another attempt.
        attempt: that other attempt.
    """
    model = "retrained" if attempt == RETRAINED else "unlearned"
    told = f"candidate of the {described(attempt)}" if attempt else "unlearned model"
    rows = {comparison.attack: comparison.difference for comparison in verdict.comparisons}
    margin, words = verdict.auc_margin, WORDS[verdict.compared_with]
    with mpl.rc_context(STYLE):
        figure = Figure((4.2, 1.1 + 0.3 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(-margin, margin, color=INK, alpha=0.12, linewidth=0)
        axes.axvline(0, color=INK, linestyle=":", linewidth=1)
        for row, interval in enumerate(rows.values()):
            _dot(axes, interval, row, model)
        _rows(axes, list(rows))
        axes.set_xlabel(words.axis)
        spoken = _spoken(rows, signed=True)
        text = f"AUC on the {told} minus {words.spoken}, margin ±{margin:g}. {spoken}."
        return svg(figure, f"comparison-{attempt or model}", text)


def signal_histograms(summary: Summary, signal: str) -> str:
    """One signal's distribution for forget, holdout and retained records, model by model.

    Stacked on one shared axis, so that a shift is seen by looking down. Where there is a retrained model, what it
    shows of the forget set is drawn over the others too: there forgotten records should lie.
    """
    shown = {name: _histogram(name, model, signal) for name, model in ordered_models(summary).items()}
    reference = shown.get("retrained")
    with mpl.rc_context(STYLE):
        figure = Figure((4.2, 0.5 + 1.3 * len(shown)), layout="constrained")
        panels = figure.subplots(len(shown), 1, sharex=True)
        for axes, (name, found) in zip(panels, shown.items(), strict=True):
            edges = np.array(found.edges)
            axes.stairs(_density(found.holdout, edges), edges, fill=True, color=INK, alpha=0.25, label="holdout")
            axes.stairs(_density(found.retained, edges), edges, color=INK, linestyle="--", label="retained")
            if reference is not None and name != "retrained":
                _reference_outline(axes, reference)
            axes.stairs(_density(found.forget, edges), edges, color=FORGET, linewidth=1.8, label="forget")
            axes.axvline(found.mean_holdout, color=INK, linestyle=":", linewidth=1.2)
            axes.axvline(found.mean_forget, color=FORGET, linestyle=":", linewidth=1.4)
            axes.set(title=name, yticks=[])
        panels[-1].set_xlabel(f"{signal} (larger: more like a member)")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
        means = [f"{name}: forget {h.mean_forget:.3g}, holdout {h.mean_holdout:.3g}" for name, h in shown.items()]
        text = f"Distribution of signal {signal} by model. Means: {'; '.join(means)}."
        return svg(figure, f"signal-{signal}", text)


def _histogram(name: str, model: ModelSummary, signal: str) -> SignalHistogram:
    for histogram in model.audit.signals:
        if histogram.name == signal:
            return histogram
    raise UserError(f"summary: models.{name}.audit.signals: {signal!r} is missing")


def _reference_outline(axes: Axes, reference: SignalHistogram) -> None:
    edges = np.array(reference.edges)
    axes.stairs(
        _density(reference.forget, edges),
        edges,
        color=COLOURS["retrained"],
        linestyle=LINES["retrained"],
        linewidth=1.4,
        label="forget, if retrained",
    )


def _grouped_dots(
    rows: dict[str, dict[str, Interval]],
    name: str,
    label: str,
    xlabel: str,
    *,
    line: float | None = None,
    width: float = 4.2,
) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure((width, 0.9 + 0.55 * len(rows)), layout="constrained")
        axes = figure.subplots()
        if line is not None:
            axes.axvline(line, color=INK, linestyle=":", linewidth=1)
        shown = [model for model in MODELS if any(model in intervals for intervals in rows.values())]
        for row, intervals in enumerate(rows.values()):
            for place, model in enumerate(shown):
                if model in intervals:
                    _dot(axes, intervals[model], row + 0.24 * (place - (len(shown) - 1) / 2), model)
        _rows(axes, list(rows))
        axes.set_xlabel(xlabel)
        keys = [Line2D([], [], color=COLOURS[m], marker=MARKERS[m], linestyle="none", label=m) for m in shown]
        figure.legend(handles=keys, loc="outside upper center", ncols=3, handletextpad=0.2, columnspacing=1.2)
        return svg(figure, name, label)


def _dot(axes: Axes, interval: Interval, row: float, model: str) -> None:
    axes.plot([interval.low, interval.high], [row, row], color=COLOURS[model], linewidth=1.8)
    axes.plot(interval.estimate, row, color=COLOURS[model], marker=MARKERS[model], markersize=5.5)


def _rows(axes: Axes, labels: list[str]) -> None:
    shown = [label if len(label) <= 28 else f"{label[:27]}…" for label in labels]  # a long name must not eat the axes
    axes.set_yticks(range(len(labels)), shown)
    axes.set_ylim(len(labels) - 0.4, -0.6)  # first row on top
    axes.tick_params(axis="y", length=0)


def _density(counts: Sequence[int], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Groups differ in size, so each is scaled to area 1."""
    return np.array(counts, dtype=np.float64) / max(sum(counts), 1) / np.diff(edges)


def _spoken(intervals: dict[str, Interval], *, signed: bool = False) -> str:
    form = "+.3f" if signed else ".3f"
    return ", ".join(f"{k} {i.estimate:{form}} ({i.low:{form}} to {i.high:{form}})" for k, i in intervals.items())
