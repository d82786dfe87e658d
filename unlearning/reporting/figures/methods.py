"""Methods of unlearning side by side: how much each still leaks against how much accuracy it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from unlearning.reporting.figures.style import COLOURS, INK, STYLE, svg

OURS = ("gradient_matching", "gradient_penalty")
"""How names of the readings of Wang & Chen's method begin."""

_STRAIGHT = (0.05, 2.0)
"""Up to here the axes are linear, then logarithmic: one bad method must not squeeze the good ones together."""
_TICKS = (
    (0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    (1, 2, 5, 10, 20, 50, 100),
)


_Line = tuple[tuple[float, float], tuple[float, float]]
_OFFSETS = [
    (reach * right, reach * up)
    for reach in (7, 12, 20, 30, 42, 56, 75, 100)
    for right, up in ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))
]
"""Of a label from its point, in points, the nearest first."""


@dataclass(frozen=True)
class MeasuredValue:
    """An estimate and the half width of its interval, infinite where there is none."""

    value: float
    half: float = float("inf")

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the interval; the value twice where there is none."""
        half = self.half if np.isfinite(self.half) else 0.0
        return self.value - half, self.value + half


@dataclass(frozen=True)
class MethodPoint:
    """One method's place."""

    name: str
    gap: MeasuredValue
    """AUC minus the retrained model's; 0 is ideal."""
    lost: MeasuredValue
    """Percentage points of accuracy below the retrained model; 0 or less is ideal."""


def auc_against_accuracy(
    methods: Sequence[MethodPoint], name: str, *, gap_bound: float, lost_bound: float, title: str = ""
) -> str:
    """A point with its intervals per method, the retrained model's place, and the region to be reached.

    Args:
        methods: in any order; one called `original` stands out, and so do the readings of Wang & Chen's.
        name: of the figure, unlike that of any other on the same page.
        gap_bound: largest AUC gap either way of the region to be reached.
        lost_bound: largest loss of accuracy of that region, in percentage points.
        title: above the figure.
    """
    with mpl.rc_context(STYLE):
        figure = Figure((7.2, 4.4), layout="constrained")
        FigureCanvasAgg(figure)  # measures the labels; the SVG is drawn by another
        axes = figure.subplots()
        axes.axvline(0, color=INK, linestyle=":", linewidth=1, zorder=0)
        axes.axhline(0, color=INK, linestyle=":", linewidth=1, zorder=0)
        for method in methods:
            _point(axes, method)
        _scale(axes, methods, gap_bound, lost_bound)
        bottom = axes.get_ylim()[0]
        region = (-gap_bound, bottom), 2 * gap_bound, lost_bound - bottom
        axes.add_patch(Rectangle(*region, color=INK, alpha=0.12, linewidth=0, zorder=0))
        axes.plot(0, 0, marker="*", markersize=11, color=COLOURS["retrained"], linestyle="none", zorder=3)
        axes.set_xlabel("AUC minus the retrained model’s (0: as if never trained on; right: still leaks)")
        axes.set_ylabel("points of accuracy lost (lower is better)")
        if title:
            axes.set_title(title)
        places = {method.name: (method.gap.value, method.lost.value) for method in methods}
        _label(axes, {"retrained, the ideal": (0.0, 0.0)} | places, [line for m in methods for line in _lines(m)])
        spoken = "; ".join(f"{m.name} {m.gap.value:+.3f} and {m.lost.value:+.1f}" for m in methods)
        text = f"AUC gap to the retrained model and points of accuracy lost. {spoken}. Ideal: 0 and 0 or less."
        return svg(figure, name, text)


def _colour(name: str) -> str:
    if name.startswith(OURS):
        return COLOURS["unlearned"]
    return COLOURS["original"] if name == "original" else INK


def _lines(method: MethodPoint) -> list[_Line]:
    """The method's two intervals, as lines from point to point."""
    (left, right), (low, high) = method.gap.bounds, method.lost.bounds
    x, y = method.gap.value, method.lost.value
    return [((left, y), (right, y)), ((x, low), (x, high))]


def _point(axes: Axes, method: MethodPoint) -> None:
    colour = _colour(method.name)
    for (left, low), (right, high) in _lines(method):
        axes.plot([left, right], [low, high], color=colour, linewidth=1.4, alpha=0.7)
    marker = "o" if colour == INK else "s"
    axes.plot(method.gap.value, method.lost.value, marker=marker, markersize=6, color=colour, linestyle="none")


def _scale(axes: Axes, methods: Sequence[MethodPoint], gap_bound: float, lost_bound: float) -> None:
    """Limits around everything, and ticks in plain numbers."""
    gaps = [0, -1.5 * gap_bound, 1.5 * gap_bound, *(bound for method in methods for bound in method.gap.bounds)]
    lost = [0, -lost_bound, 1.5 * lost_bound, *(bound for method in methods for bound in method.lost.bounds)]
    axes.set_xscale("symlog", linthresh=_STRAIGHT[0])
    axes.set_yscale("symlog", linthresh=_STRAIGHT[1])
    axes.set(xlim=(1.15 * min(gaps), 1.15 * max(gaps)), ylim=(1.15 * min(lost), 1.15 * max(lost)))
    for axis, ticks in zip((axes.xaxis, axes.yaxis), _TICKS, strict=True):
        low, high = axis.get_view_interval()
        shown = [tick for tick in (*(-tick for tick in ticks[::-1]), 0, *ticks) if low <= tick <= high]
        axis.set_ticks(shown, [f"{tick:+g}".replace("-", "−") if tick else "0" for tick in shown])
        axis.minorticks_off()


def _label(axes: Axes, places: dict[str, tuple[float, float]], lines: Sequence[_Line]) -> None:
    """Write every name where it lies on no other name and no point, and on as few intervals as it goes."""
    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]  # settles where the axes are
    points = [_around(axes, place) for place in places.values()]
    ranges = [Bbox(axes.transData.transform(line)) for line in lines]
    taken: list[Bbox] = []
    for name, place in places.items():

        def cost(box: Bbox) -> float:
            worse = sum(box.overlaps(other) for other in (*taken, *points)) + 10 * (not _inside(box, axes.bbox))
            return 100 * worse + sum(box.overlaps(other) for other in ranges)

        boxes = [(_box(axes, name, place, offset), offset) for offset in _OFFSETS]
        box, offset = min(boxes, key=lambda pair: cost(pair[0]))  # the first, and so the nearest, of the best
        taken.append(box)
        _note(axes, name, place, offset, drawn=True)


def _note(axes: Axes, name: str, place: tuple[float, float], offset: tuple[float, float], *, drawn: bool) -> Annotation:
    right, up = offset
    far = drawn and max(abs(right), abs(up)) > 16
    note = axes.annotate(
        name, place, offset, textcoords="offset points", fontsize=8, color=_colour(name),
        ha="left" if right > 0 else "right" if right < 0 else "center",
        va="bottom" if up > 0 else "top" if up < 0 else "center",
        arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 4} if far else None,
    )  # fmt: skip
    note.set_in_layout(False)
    return note


def _box(axes: Axes, name: str, place: tuple[float, float], offset: tuple[float, float]) -> Bbox:
    """Where the name would be, in pixels."""
    note = _note(axes, name, place, offset, drawn=False)
    box = note.get_window_extent().padded(1)
    note.remove()
    return box


def _around(axes: Axes, place: tuple[float, float]) -> Bbox:
    """A point's mark, in pixels."""
    x, y = axes.transData.transform(place)
    return Bbox([[x, y], [x, y]]).padded(5)


def _inside(box: Bbox, frame: Bbox) -> bool:
    return bool(box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1)
