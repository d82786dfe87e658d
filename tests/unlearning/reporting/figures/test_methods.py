from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from unlearning.reporting.figures import methods
from unlearning.reporting.figures.methods import MeasuredValue, MethodPoint, auc_against_accuracy

NAMES = (
    "original", "gradient_matching", "gradient_matching_stage2", "finetune", "gradient_ascent", "random_label",
    "saliency", "alignment_calibration", "loss_matching",
)  # fmt: skip
Axes = Any
DrawnFigure = Callable[[Sequence[MethodPoint]], Figure]


def scattered(seed: int, scale: float = 1.0) -> list[MethodPoint]:
    draw = np.random.default_rng(seed)
    return [
        MethodPoint(
            name,
            MeasuredValue(scale * draw.normal(0.05, 0.1), scale * abs(draw.normal(0, 0.02))),
            MeasuredValue(scale * draw.normal(1, 4), scale * abs(draw.normal(0, 1))),
        )
        for name in NAMES
    ]


@pytest.fixture
def figure_of(monkeypatch: pytest.MonkeyPatch) -> DrawnFigure:
    def call(found: Sequence[MethodPoint]) -> Figure:
        kept: list[Figure] = []

        def keep(figure: Figure, name: str, label: str) -> str:
            kept.append(figure)
            return ""

        with monkeypatch.context() as patch:
            patch.setattr(methods, "svg", keep)
            auc_against_accuracy(found, "some", gap_bound=0.02, lost_bound=1)
        return kept[0]

    return call


def labels(figure: Figure) -> dict[str, Bbox]:
    notes = [child for child in figure.axes[0].get_children() if isinstance(child, Annotation)]
    return {note.get_text(): text_box(note) for note in notes}


def text_box(note: Annotation) -> Bbox:
    """Of the text alone, without the line to its point."""
    note.get_window_extent()  # settles where it is
    box: Bbox = Text.get_window_extent(note)
    return box


@pytest.mark.parametrize("seed", range(6))
def test_names_lie_on_no_other_name_and_no_point_and_inside(figure_of: DrawnFigure, seed: int) -> None:
    found = scattered(seed)
    figure = figure_of(found)
    (axes,) = figure.axes
    boxes = labels(figure)
    assert set(boxes) == {*NAMES, "retrained, the ideal"}
    places = [(0.0, 0.0), *((method.gap.value, method.lost.value) for method in found)]
    points = axes.transData.transform(places)
    for name, box in boxes.items():
        assert axes.bbox.x0 <= box.x0 < box.x1 <= axes.bbox.x1, name
        assert axes.bbox.y0 <= box.y0 < box.y1 <= axes.bbox.y1, name
        assert not any(box.contains(*point) for point in points), name
        for other, others in boxes.items():
            assert other == name or not box.overlaps(others), (name, other)


def test_names_part_even_where_all_points_meet(figure_of: DrawnFigure) -> None:
    boxes = labels(figure_of(scattered(0, scale=0.001)))
    for name, box in boxes.items():
        assert not [other for other, others in boxes.items() if other != name and box.overlaps(others)]


@pytest.mark.parametrize("seed", range(3))
def test_everything_is_within_the_axes(figure_of: DrawnFigure, seed: int) -> None:
    found = scattered(seed)
    (axes,) = figure_of(found).axes
    for method in found:
        assert axes.get_xlim()[0] < method.gap.bounds[0] <= method.gap.bounds[1] < axes.get_xlim()[1]
        assert axes.get_ylim()[0] < method.lost.bounds[0] <= method.lost.bounds[1] < axes.get_ylim()[1]


def drawn_lines(axes: Axes) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    return [(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in axes.lines]


def test_a_point_and_its_intervals_are_where_they_were_measured(figure_of: DrawnFigure) -> None:
    (axes,) = figure_of([MethodPoint("finetune", MeasuredValue(0.1, 0.03), MeasuredValue(2.0, 0.5))]).axes
    lines = drawn_lines(axes)
    assert ((0.1,), (2.0,)) in lines
    assert ((0.0,), (0.0,)) in lines, "the ideal"
    assert any(x == pytest.approx((0.07, 0.13)) and y == (2.0, 2.0) for x, y in lines)
    assert any(x == (0.1, 0.1) and y == pytest.approx((1.5, 2.5)) for x, y in lines)


def test_a_single_seed_has_no_interval(figure_of: DrawnFigure) -> None:
    (axes,) = figure_of([MethodPoint("finetune", MeasuredValue(0.1), MeasuredValue(2.0, math.inf))]).axes
    spans = [(max(x) - min(x), max(y) - min(y)) for x, y in drawn_lines(axes) if 0.1 in x]
    assert spans
    assert set(spans) == {(0.0, 0.0)}


def test_the_region_to_be_reached_is_marked(figure_of: DrawnFigure) -> None:
    (axes,) = figure_of(scattered(0)).axes
    (region,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert (region.get_x(), region.get_x() + region.get_width()) == pytest.approx((-0.02, 0.02))
    assert region.get_y() + region.get_height() == pytest.approx(1)
    assert region.get_y() == axes.get_ylim()[0]


def test_axes_speak_plain_numbers_and_the_label_the_values() -> None:
    found = [
        MethodPoint("finetune", MeasuredValue(0.123), MeasuredValue(-2.5)),
        MethodPoint("<b>&$x", MeasuredValue(-0.05), MeasuredValue(40)),
    ]
    text = auc_against_accuracy(found, "methods-some", gap_bound=0.02, lost_bound=1, title="<some> & $y")
    root = ElementTree.fromstring(text)  # noqa: S314 - our own output
    assert "finetune +0.123 and -2.5; <b>&$x -0.050 and +40.0" in str(root.get("aria-label"))
    words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"<b>&$x", "<some> & $y", "finetune", "0", "+0.1", "−0.02", "+20", "−2"} <= set(words)
    assert "mathdefault" not in text
    assert text == auc_against_accuracy(found, "methods-some", gap_bound=0.02, lost_bound=1, title="<some> & $y")
