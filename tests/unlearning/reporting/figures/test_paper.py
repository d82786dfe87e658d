from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from unlearning.audit import inspection_results
from unlearning.audit.inspection_results import InspectionResults, Sample
from unlearning.core.errors import UserError
from unlearning.core.files import write_json
from unlearning.reporting.figures import paper

Make = Callable[..., InspectionResults]
DRAWN: dict[str, Callable[[InspectionResults], str]] = {
    "input-gradients": paper.input_gradients,
    "losses": paper.losses,
    "embedding": paper.embedding,
    "view-similarity": paper.view_similarity,
    "probabilities": paper.probabilities,
}


@pytest.fixture
def figure_of(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[[InspectionResults], str], InspectionResults], Figure]:
    """The figure itself, before it becomes text."""

    def call(draw: Callable[[InspectionResults], str], evidence: InspectionResults) -> Figure:
        kept: list[Figure] = []

        def keep(figure: Figure, name: str, label: str) -> str:
            kept.append(figure)
            return ""

        with monkeypatch.context() as patch:
            patch.setattr(paper, "svg", keep)
            draw(evidence)
        return kept[0]

    return call


def changed(evidence: InspectionResults, value: Any, *path: str | int) -> InspectionResults:
    document = evidence.model_dump(mode="json")
    place: Any = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return InspectionResults.model_validate(document)


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_is_accessible_and_loads_nothing(make_evidence: Make, name: str) -> None:
    text = DRAWN[name](make_evidence())
    root = ElementTree.fromstring(text)  # noqa: S314 - our own output
    assert (root.get("role"), bool(root.get("aria-label"))) == ("img", True)
    linked = [value for node in root.iter() for key, value in node.items() if key.endswith(("href", "src"))]
    assert all(value.startswith("#") for value in linked)
    assert "currentColor" in text
    assert "$" not in "".join(root.itertext()), "mathematics that nobody set"


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_written_in_a_figure_is_cut_off_or_lies_on_something_else_written(
    make_evidence: Make, figure_of: Callable[..., Figure], name: str
) -> None:
    figure = figure_of(DRAWN[name], make_evidence())
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in written(figure)]
    assert len(boxes) >= 6
    for place, (words, box) in enumerate(boxes):
        assert figure.bbox.padded(0.5).containsx(box.x0), words
        assert figure.bbox.padded(0.5).containsx(box.x1), words
        assert figure.bbox.padded(0.5).containsy(box.y0), words
        assert figure.bbox.padded(0.5).containsy(box.y1), words
        for others, other in boxes[:place]:
            assert Bbox.intersection(box.padded(-1), other.padded(-1)) is None, (words, others)


def titles(axes: Axes) -> list[Text]:
    title = axes.get_title("left")
    return [text for text in axes.findobj(Text) if title and text.get_text() == title]


def written(figure: Figure) -> list[Any]:
    found = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += [axes.xaxis.label, axes.yaxis.label, *titles(axes)]
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            found += [tick.label1 for tick in axis.get_major_ticks() if limits[0] <= tick.get_loc() <= limits[1]]
    return [text for text in found if text.get_text() and text.get_visible()]


def test_models_come_in_reading_order_though_json_has_none(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence()
    inspection_results.save(evidence, tmp_path / "evidence.json")
    read = inspection_results.load(tmp_path / "evidence.json")
    assert list(read.models) == ["original", "retrained", "unlearned"]
    assert paper.all_figures(read) == paper.all_figures(evidence)
    named = {name: name.upper() for name in ("z", "retrained", "original", "unlearned")}
    ordered = paper.in_order(named)
    assert list(ordered) == ["original", "unlearned", "retrained", "z"]
    assert ordered == named


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible()]


def test_gradients_are_drawn_as_densities_of_each_group(make_evidence: Make, figure_of: Callable[..., Figure]) -> None:
    evidence = make_evidence()
    axes = panels(figure_of(paper.input_gradients, evidence))
    assert [each.get_title("left") for each in axes] == ["original", "unlearned", "retrained"]
    values = np.array(evidence.models["unlearned"].log_gradients["forget"].values)
    (curve,) = [patch for patch in axes[1].patches if patch.get_linestyle() == "-" and not patch.get_fill()]
    assert isinstance(curve, StepPatch)
    heights, edges, _ = curve.get_data()
    assert np.sum(heights * np.diff(edges)) == pytest.approx(1)
    for height, low, high in zip(heights, edges[:-1], edges[1:], strict=True):
        inside = np.mean((values >= low) & ((values < high) | ((high == edges[-1]) & (values == high))))
        assert height * (high - low) == pytest.approx(inside)


def test_losses_are_means_with_their_intervals(make_evidence: Make, figure_of: Callable[..., Figure]) -> None:
    evidence = make_evidence()
    (axes,) = panels(figure_of(paper.losses, evidence))
    values = np.array(evidence.models["retrained"].losses["holdout"].values)
    line, _, (bars,) = axes.containers[2]
    assert line.get_ydata()[2] == pytest.approx(values.mean())
    low, high = bars.get_segments()[2][:, 1]
    assert (high - low) / 2 == pytest.approx(1.96 * np.std(values, ddof=1) / np.sqrt(len(values)))


def test_one_forgotten_record_is_enough(make_evidence: Make) -> None:
    for figure in paper.all_figures(make_evidence(forgotten=1)).values():
        assert "nan" not in figure.svg.lower()


def test_the_map_shows_every_point_of_every_group(make_evidence: Make, figure_of: Callable[..., Figure]) -> None:
    evidence = make_evidence(forgotten=11)
    for axes, model in zip(panels(figure_of(paper.embedding, evidence)), evidence.models.values(), strict=True):
        shown = {tuple(point) for dots in axes.collections for point in np.asarray(dots.get_offsets()).tolist()}
        assert shown == {point for points in model.embedding.values() for point in points}


def test_similarity_follows_the_training(make_evidence: Make, figure_of: Callable[..., Figure]) -> None:
    evidence = make_evidence()
    (axes,) = panels(figure_of(paper.view_similarity, evidence))
    members, non_members = axes.lines
    assert np.asarray(members.get_xdata()).tolist() == [0, 1, 2, 4, 7, 10]
    for line, side in ((members, "members"), (non_members, "non_members")):
        means = [float(np.mean(epoch.view_similarity[side].values)) for epoch in evidence.training]
        assert np.asarray(line.get_ydata()).tolist() == pytest.approx(means)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2", "4", "7", "10"]


def test_probabilities_show_the_first_and_the_last_epoch(make_evidence: Make, figure_of: Callable[..., Figure]) -> None:
    axes = panels(figure_of(paper.probabilities, make_evidence()))
    titles = [each.get_title("left") for each in axes]
    assert len(titles) == 4
    assert (titles[0], titles[-1]) == ("after 1 epoch", "after 10 epochs")
    curves = [curve for each in axes for curve in each.patches if isinstance(curve, StepPatch)]
    assert len(curves) == 2 * 4
    for curve in curves:
        heights, edges, _ = curve.get_data()
        assert np.sum(heights * np.diff(edges)) == pytest.approx(1), "nothing lies beyond the axis"


@pytest.mark.parametrize(
    ("paradigm", "training", "missing"),
    [("simclr", True, []), ("byol", True, ["probabilities"]), ("moco", False, ["view-similarity", "probabilities"])],
)
def test_only_figures_with_something_behind_them_are_drawn(
    make_evidence: Make, paradigm: str, training: bool, missing: list[str]
) -> None:
    drawn = paper.all_figures(make_evidence(paradigm, training=training))
    assert list(drawn) == [name for name in paper.NAMES if name not in missing]


def test_views_that_never_differ_are_not_compared(make_evidence: Make) -> None:
    evidence = make_evidence("supervised")
    for place in range(len(evidence.training)):
        same = {side: {"values": [1.0, 0.99999]} for side in ("members", "non_members")}
        evidence = changed(evidence, same, "training", place, "view_similarity")
    assert "view-similarity" not in paper.all_figures(evidence)


def test_captions_say_what_is_good_and_where_it_is_from(make_evidence: Make) -> None:
    for name, figure in paper.all_figures(make_evidence()).items():
        assert "Good: " in figure.caption or "remembers nobody" in figure.caption
        if name == "embedding":
            assert figure.source == "Not in the paper."
        else:
            assert re.match(r"Our reading of figures? \d( and \d)? of .*2405\.07317", figure.source)
    assert "the true class" in paper.all_figures(make_evidence("supervised"))["probabilities"].caption
    assert "own other view" in paper.all_figures(make_evidence("simclr"))["probabilities"].caption


def test_the_label_speaks_the_means(make_evidence: Make) -> None:
    evidence = changed(make_evidence(), [0.25, 0.75], "models", "unlearned", "losses", "forget", "values")
    assert "; unlearned: forgotten 0.5, retained " in paper.losses(evidence)


@pytest.mark.parametrize("damage", [("models", 3), ("training", [{"epoch": 1}]), ("surprise", 1)])
def test_what_is_no_evidence_is_told_in_one_line(make_evidence: Make, tmp_path: Path, damage: tuple[str, Any]) -> None:
    path = tmp_path / "evidence.json"
    document = make_evidence().model_dump(mode="json")
    document[damage[0]] = damage[1]
    write_json(path, document)
    with pytest.raises(UserError, match=rf"evidence .*{damage[0]}.*measure it again") as caught:
        inspection_results.load(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"gone\.json does not exist"):
        inspection_results.load(tmp_path / "gone.json")


def test_a_group_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Sample(values=())
