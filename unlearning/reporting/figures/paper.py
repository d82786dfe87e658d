"""The figures of the paper (Wang & Chen, 2405.07317), drawn from measured evidence, and a map beside them.

Our reading of what its captions describe: gradients of members and non-members before and after
(figures 1 and 2), probabilities as a model overfits (3), similarity of views over training (4), and
losses before and after (5). The map of features is an addition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from unlearning.audit.inspection_results import GROUPS, Epoch, InspectionResults, ModelEvidence, Sample
from unlearning.reporting.figures.audit import MODELS
from unlearning.reporting.figures.style import COLOURS, FORGET, INK, STYLE, svg

Value = TypeVar("Value")

NAMES = ("input-gradients", "losses", "embedding", "view-similarity", "probabilities")
"""Of all figures there can be."""
WORDS = {
    "forget": "forgotten", "retained": "retained", "holdout": "non-members",
    "members": "members", "non_members": "non-members",
}  # fmt: skip
"""How groups and sides are called."""
_MARKS = {"forget": "o", "retained": "D", "holdout": "x"}
_SIDES: dict[str, dict[str, Any]] = {
    "members": {"color": COLOURS["original"], "linestyle": "-"},
    "non_members": {"color": INK, "linestyle": "--"},
}


@dataclass(frozen=True)
class Drawn:
    """A figure and what a reader needs beside it."""

    title: str
    svg: str
    caption: str
    """What it shows, and which way is good."""
    source: str
    """Which figure of the paper it is our reading of."""
    wide: bool = False
    """Whether it needs the whole width of a page."""


def in_order(models: Mapping[str, Value]) -> dict[str, Value]:
    """What is told of models by name, in reading order, original first; JSON keeps no order."""
    names = sorted(models, key=lambda name: MODELS.index(name) if name in MODELS else len(MODELS))
    return {name: models[name] for name in names}


def most_records(evidence: InspectionResults) -> int:
    """Of the largest group measured."""
    return max(len(sample.values) for model in evidence.models.values() for sample in model.losses.values())


def shows_views(evidence: InspectionResults) -> bool:
    """Whether the training was looked at, and its views differ: without augmentation their cosine is 1."""
    samples = [sample for epoch in evidence.training for sample in epoch.view_similarity.values()]
    return any(abs(value - 1) > 1e-3 for sample in samples for value in sample.values)


def shows_probabilities(evidence: InspectionResults) -> bool:
    """Whether the training was looked at, and its loss is a likelihood."""
    return bool(evidence.training and evidence.training[-1].probability)


def all_figures(evidence: InspectionResults) -> dict[str, Drawn]:
    """Every figure that the evidence has something for, by file name without ending."""
    return dict(_figures(evidence))


def _figures(evidence: InspectionResults) -> Iterator[tuple[str, Drawn]]:
    as_on = ", as on the retrained model," if "retrained" in evidence.models else ""
    yield (
        "input-gradients",
        Drawn(
            "Input gradients before and after",
            input_gradients(evidence),
            "How strongly a record's own loss reacts to its own pixels. On the original, members (forgotten and "
            "retained) lie left of non-members. Good: after unlearning the forgotten curve lies on "
            f"that of non-members{as_on} and the retained curve stays where it was.",
            _reading("figures 1 and 2"),
        ),
    )
    yield (
        "losses",
        Drawn(
            "Loss before and after",
            losses(evidence),
            "Mean loss of a batch of each group, with 95 % intervals. Good: after unlearning forgotten records have "
            f"the loss of non-members{as_on} and retained members keep theirs.",
            _reading("figure 5"),
        ),
    )
    yield (
        "embedding",
        Drawn(
            "Map of the features before and after",
            embedding(evidence),
            "The two directions in which each model's features vary most; one point is one record. Good: forgotten "
            "records lie among the others, neither apart nor in clumps of their own, and the shape of the whole stays.",
            "Not in the paper.",
            wide=True,
        ),
    )
    if shows_views(evidence):
        yield (
            "view-similarity",
            Drawn(
                "Similarity of views while training",
                view_similarity(evidence),
                "The original trained again: how alike its outputs are for augmented views of the same image. Lines "
                "are means, bands the middle half of the records. Members rising above non-members is what an attack "
                "reads; a model that remembers nobody keeps both together.",
                _reading("figure 4"),
            ),
        )
    if shows_probabilities(evidence):
        yield (
            "probabilities",
            Drawn(
                "Predicted probabilities as the model overfits",
                probabilities(evidence),
                f"The original trained again: the probability it gives to {_answer(evidence)}. Members moving to "
                "the right of non-members is overfitting; a model that remembers nobody keeps both together.",
                _reading("figure 3"),
            ),
        )


def _reading(number: str) -> str:
    return f"Our reading of {number} of Wang and Chen, arXiv 2405.07317; the paper's numbers are not reproduced."


def _answer(evidence: InspectionResults) -> str:
    return "the true class" if evidence.paradigm == "supervised" else "a record's own other view"


def _models(evidence: InspectionResults) -> dict[str, ModelEvidence]:
    return in_order(evidence.models)


def input_gradients(evidence: InspectionResults) -> str:
    """Distribution of log g of forgotten records, retained records and non-members, one panel a model."""
    models = _models(evidence)
    everything = [sample.values for model in models.values() for sample in model.log_gradients.values()]
    edges = np.histogram_bin_edges(np.concatenate(everything), 22)
    with mpl.rc_context(STYLE):
        figure = Figure((4.2, 0.9 + 1.15 * len(models)), layout="constrained")
        panels = figure.subplots(len(models), 1, sharex=True, squeeze=False)[:, 0]
        spoken = []
        for axes, (name, model) in zip(panels, models.items(), strict=True):
            for group, sample in model.log_gradients.items():
                _density(axes, sample, edges, group)
            axes.set(title=name, yticks=[])
            spoken.append(f"{name}: {_spoken(model.log_gradients)}")
        panels[-1].set_xlabel("log of the input gradient’s norm (left: more like a member)")
        figure.legend(handles=_group_keys("area"), loc="outside upper center", ncols=3)
        return svg(figure, "input-gradients", f"Log norm of input gradients by model, means. {'; '.join(spoken)}.")


def losses(evidence: InspectionResults) -> str:
    """Mean loss of each group before and after, with 95 % intervals."""
    models = _models(evidence)
    with mpl.rc_context(STYLE):
        figure = Figure((4.2, 2.8), layout="constrained")
        axes = figure.subplots()
        spoken = []
        for place, group in enumerate(GROUPS):
            samples = [model.losses[group] for model in models.values()]
            axes.errorbar(
                np.arange(len(models)) + 0.2 * (place - 1),
                [sample.mean for sample in samples],
                [_half_width(sample) for sample in samples],
                fmt=_MARKS[group],
                markersize=5,
                color=_colour(group),
            )
        for name, model in models.items():
            spoken.append(f"{name}: {_spoken(model.losses)}")
        axes.set_xticks(range(len(models)), list(models))
        axes.set(xlim=(-0.5, len(models) - 0.5), ylabel="mean loss of a record")
        figure.legend(handles=_group_keys("point"), loc="outside upper center", ncols=3)
        return svg(figure, "losses", f"Mean loss by model. {'; '.join(spoken)}.")


def embedding(evidence: InspectionResults) -> str:
    """Features on two axes, one panel a model, forgotten records marked."""
    models = _models(evidence)
    with mpl.rc_context(STYLE):
        figure = Figure((7.2, 2.9), layout="constrained")
        panels = figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (name, model) in zip(panels, models.items(), strict=True):
            for group, size in (("retained", 9), ("holdout", 13), ("forget", 12)):
                axes.scatter(
                    *np.array(model.embedding[group]).T, size, color=_colour(group), marker=_MARKS[group],
                    alpha=0.8 if group == "forget" else 0.45, linewidths=0 if _MARKS[group] != "x" else 0.8,
                )  # fmt: skip
            axes.set(title=name, xticks=[], yticks=[], aspect="equal")
        figure.legend(handles=_group_keys("point"), loc="outside upper center", ncols=3)
        return svg(figure, "embedding", f"Map of features, one point a record, for {', '.join(models)}.")


def view_similarity(evidence: InspectionResults) -> str:
    """Cosine of a record's views over the training, members against non-members: mean and quartiles."""
    with mpl.rc_context(STYLE):
        figure = Figure((4.2, 2.8), layout="constrained")
        axes = figure.subplots()
        epochs = [look.epoch for look in evidence.training]
        for side, look in _SIDES.items():
            samples = [np.array(epoch.view_similarity[side].values) for epoch in evidence.training]
            axes.plot(
                epochs,
                [sample.mean() for sample in samples],
                marker="o",
                markersize=4,
                label=WORDS[side],
                **look,
            )
            low, high = (np.array([np.quantile(sample, level) for sample in samples]) for level in (0.25, 0.75))
            axes.fill_between(epochs, low, high, color=look["color"], alpha=0.2, linewidth=0)
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xticks(epochs, [str(epoch) for epoch in epochs])
        axes.minorticks_off()
        axes.set(xlabel="epochs of training", ylabel="cosine of a record’s views")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        first, last = (_spoken(evidence.training[place].view_similarity) for place in (0, -1))
        text = f"Similarity of a record’s views while training, means. After {epochs[0]} epochs: {first}"
        return svg(figure, "view-similarity", f"{text}; after {epochs[-1]}: {last}.")


def probabilities(evidence: InspectionResults) -> str:
    """Probability of the right answer as the training overfits, members against non-members."""
    shown = _spread([epoch for epoch in evidence.training if epoch.epoch > 0], 4)
    largest = max(value for epoch in shown for sample in epoch.probability.values() for value in sample.values)
    edges = np.linspace(0, min(1.0, 1.05 * max(largest, 1e-3)), 26)
    with mpl.rc_context(STYLE):
        figure = Figure((4.2, 0.9 + 1.0 * len(shown)), layout="constrained")
        panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axes, epoch in zip(panels, shown, strict=True):
            for side, look in _SIDES.items():
                counts, _ = np.histogram(np.array(epoch.probability[side].values), edges, density=True)
                axes.stairs(counts, edges, label=WORDS[side], linewidth=1.5, **look)
            axes.set(title=f"after {_epochs(epoch)}", yticks=[], xlim=(0, edges[-1]))
        panels[-1].set_xlabel(f"probability of {_answer(evidence)}")
        keys = [Line2D([], [], label=WORDS[side], linewidth=1.5, **look) for side, look in _SIDES.items()]
        figure.legend(handles=keys, loc="outside upper center", ncols=2)
        spoken = "; ".join(f"after {_epochs(epoch)}: {_spoken(epoch.probability)}" for epoch in shown)
        return svg(figure, "probabilities", f"Probability of {_answer(evidence)}, means. {spoken}.")


def _epochs(epoch: Epoch) -> str:
    return f"{epoch.epoch} epoch{'' if epoch.epoch == 1 else 's'}"


def _spread(epochs: list[Epoch], count: int) -> list[Epoch]:
    """`count` of them, the first and the last included."""
    places = np.linspace(0, len(epochs) - 1, min(count, len(epochs))).round().astype(int)
    return [epochs[place] for place in places]


def _half_width(sample: Sample) -> float:
    """Of the mean's 95 % interval."""
    values = np.array(sample.values)
    return float(1.96 * values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _density(axes: Axes, sample: Sample, edges: npt.NDArray[np.float64], group: str) -> None:
    counts, _ = np.histogram(np.array(sample.values), edges, density=True)
    if group == "holdout":
        axes.stairs(counts, edges, fill=True, color=INK, alpha=0.25, zorder=0)
    else:
        axes.stairs(counts, edges, color=_colour(group), linestyle=_line(group), linewidth=1.6)


def _group_keys(kind: Literal["area", "point"]) -> list[Artist]:
    """Entries of the legend, the forgotten first."""
    keys: list[Artist] = []
    for group in GROUPS:
        word = WORDS[group]
        if kind == "point":
            keys.append(Line2D([], [], color=_colour(group), marker=_MARKS[group], linestyle="none", label=word))
        elif group == "holdout":
            keys.append(Patch(color=INK, alpha=0.25, label=word))
        else:
            keys.append(Line2D([], [], color=_colour(group), linestyle=_line(group), label=word))
    return keys


def _colour(group: str) -> str:
    return FORGET if group == "forget" else INK


def _line(group: str) -> Literal["-", "--"]:
    return "-" if group == "forget" else "--"


def _spoken(samples: Mapping[str, Sample]) -> str:
    """The means, for those who hear the figure."""
    return ", ".join(f"{word} {samples[name].mean:.3g}" for name, word in WORDS.items() if name in samples)
