from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest

from unlearning.core.errors import UserError
from unlearning.reporting.figures import roc
from unlearning.reporting.figures.audit import MODELS
from unlearning.reporting.figures.roc_bands import CLUSTERED
from unlearning.reporting.figures.style import COLOURS
from unlearning.reporting.summary import Summary

Make = Callable[..., Summary]
SCALES: tuple[roc.Scale, ...] = ("linear", "log")
DIAGONAL = {"false_positive_rate": [0, 1], "true_positive_rate": [0, 1]}
SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"


def shapes(text: str, model: str) -> tuple[str, str]:
    """The band in a model's colour, which is defined first and then used, and its curve, the last line drawn."""
    root, colour = ElementTree.fromstring(text), COLOURS[model].lower()  # noqa: S314 - our own output
    paths = list(root.iter(f"{SVG}path"))
    defined = {f"#{path.get('id')}": path.get("d", "") for path in paths}
    used = [node.get(HREF, "") for node in root.iter(f"{SVG}use") if f"fill: {colour}" in node.get("style", "")]
    lines = [path.get("d", "") for path in paths if f"stroke: {colour}" in path.get("style", "")]
    (band,) = [defined[target] for target in used]
    *edges, curve, in_legend = lines
    assert len(edges) == 2
    assert len(in_legend) < len(curve)
    return band, curve


def index_of(summary: Summary, attack: str) -> int:
    return [each.name for each in summary.models["original"].audit.attacks].index(attack)


@pytest.mark.parametrize("scale", SCALES)
def test_every_model_has_a_curve_and_a_band(make_summary: Make, scale: roc.Scale) -> None:
    text = roc.roc_curves(make_summary(), "combined_retained", scale)
    assert len({shape for model in MODELS for shape in shapes(text, model)}) == 2 * len(MODELS)


@pytest.mark.parametrize("scale", SCALES)
def test_a_curve_and_its_band_move_with_its_points(make_summary: Make, edited: Make, scale: roc.Scale) -> None:
    summary = make_summary()
    place = ("models", "original", "audit", "attacks", index_of(summary, "combined_retained"), "roc")
    before = roc.roc_curves(summary, "combined_retained", scale)
    after = roc.roc_curves(edited(summary, DIAGONAL, *place), "combined_retained", scale)
    assert not set(shapes(before, "original")) & set(shapes(after, "original"))
    assert shapes(before, "retrained") == shapes(after, "retrained")


def test_bands_widen_with_fewer_records(make_summary: Make, edited: Make) -> None:
    summary = make_summary()
    few = edited(summary, 10, "split", "sizes", "holdout")
    (band, curve), (wider, same) = (shapes(roc.roc_curves(each, "loss"), "unlearned") for each in (summary, few))
    assert curve == same
    assert band != wider


def test_non_members_that_share_a_record_are_not_counted_by_the_holdout(make_summary: Make, edited: Make) -> None:
    summary = make_summary()
    for model in MODELS:
        summary = edited(summary, CLUSTERED[0], "models", model, "audit", "attacks", 0, "name")
    more = edited(summary, 30_000, "split", "sizes", "holdout")
    same = [shapes(roc.roc_curves(each, CLUSTERED[0]), "original") for each in (summary, more)]
    assert same[0] == same[1]


def test_what_is_straight_on_linear_axes_is_curved_on_logarithmic_ones(make_summary: Make, edited: Make) -> None:
    """Half of the forgotten at no false alarm, and all at 100 %: between them the rate is (1 + f) / 2, not a power."""
    points = {"false_positive_rate": [0, 0, 1], "true_positive_rate": [0, 0.5, 1]}
    summary = edited(make_summary(), points, "models", "original", "audit", "attacks", 0, "roc")
    _, curve = shapes(roc.roc_curves(summary, "view_similarity", "log"), "original")
    assert curve.count("L") >= roc.BETWEEN


def test_logarithmic_axes_begin_at_half_a_record_and_bear_curves_without_small_rates(
    make_summary: Make, edited: Make
) -> None:
    summary = make_summary()
    assert roc.smallest_rates(summary) == (1 / 600, 1 / 200)
    for model in MODELS:
        summary = edited(summary, DIAGONAL, "models", model, "audit", "attacks", 0, "roc")
    text = roc.roc_curves(summary, "view_similarity", "log")
    assert re.search(r">1 %<", text)
    assert re.search(r">100 %<", text)
    assert "nan" not in text
    assert "inf" not in text


def test_the_strongest_on_both_models_are_shown_once_each(make_summary: Make, edited: Make) -> None:
    summary = make_summary("leaks")
    assert roc.attacks_shown(summary) == ("combined_retained",)
    place = ("models", "unlearned", "audit", "attacks", index_of(summary, "loss"), "auc", "estimate")
    assert roc.attacks_shown(edited(summary, 0.99, *place)) == ("combined_retained", "loss")


def test_the_label_speaks_the_values(make_summary: Make, edited: Make) -> None:
    summary = edited(make_summary(), 0.123, "models", "unlearned", "audit", "attacks", 0, "auc", "estimate")
    assert "unlearned 0.123" in roc.roc_curves(summary, "view_similarity")


def test_what_is_missing_is_named(make_summary: Make, edited: Make) -> None:
    with pytest.raises(UserError, match="'nonsense'"):
        roc.roc_curves(make_summary(), "nonsense")
    with pytest.raises(UserError, match=r"split\.sizes\.holdout"):
        roc.roc_curves(edited(make_summary(), {"members": 5}, "split", "sizes"), "loss")
