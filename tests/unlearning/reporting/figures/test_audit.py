from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest

from unlearning.core.errors import UserError
from unlearning.reporting.figures import audit as figures
from unlearning.reporting.figures import roc
from unlearning.reporting.figures.style import COLOURS
from unlearning.reporting.summary import Summary, strongest_attack

Make = Callable[..., Summary]
SVG = "{http://www.w3.org/2000/svg}"
DRAWN: dict[str, Callable[[Summary], str]] = {
    "roc": lambda s: roc.roc_curves(s, strongest_attack(s)),
    "roc-log": lambda s: roc.roc_curves(s, strongest_attack(s), "log"),
    "roc-log-other": lambda s: roc.roc_curves(s, "loss", "log"),
    "leak": lambda s: figures.leak_dots(s, strongest_attack(s)),
    "forest": figures.attack_forest,
    "accuracy": figures.accuracy_dots,
    "accuracy-small": lambda s: figures.accuracy_dots(s, ("knn", "classifier"), small=True),
    "cost": figures.cost_bars,
    "comparison": lambda s: figures.comparison_forest(s.verdict),
    "signal": lambda s: figures.signal_histograms(s, "loss"),
}


@pytest.mark.parametrize("compared_with", ["retrained", "references"])
@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_is_a_named_self_contained_svg_that_follows_the_page_colour(
    make_summary: Make, name: str, compared_with: str
) -> None:
    text = DRAWN[name](make_summary(supervised=True, compared_with=compared_with))
    root = ElementTree.fromstring(text)  # noqa: S314 - our own output
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    label = root.get("aria-label")
    assert label
    assert root.findtext(f"{SVG}title") == label
    assert root.get("color")
    assert "currentColor" in text
    assert "#000000" not in text
    assert "#010203" not in text
    linked = [value for node in root.iter() for key, value in node.items() if key.endswith(("href", "src"))]
    assert all(value.startswith("#") for value in linked)


@pytest.mark.parametrize("name", DRAWN)
def test_no_figure_shows_a_retrained_model_that_there_was_not(make_summary: Make, name: str) -> None:
    assert "retrained" not in DRAWN[name](make_summary(supervised=True, compared_with="references"))
    assert "retrained" in DRAWN[name](make_summary(supervised=True))


def test_the_differences_are_said_to_be_from_what_was_compared_with(make_summary: Make) -> None:
    text = figures.comparison_forest(make_summary(compared_with="references").verdict)
    assert "minus that of references not trained on the records" in text
    assert "minus the retrained reference" in figures.comparison_forest(make_summary().verdict)


@pytest.mark.parametrize("name", DRAWN)
def test_drawing_twice_gives_the_same_text(make_summary: Make, name: str) -> None:
    summary = make_summary(supervised=True)
    assert DRAWN[name](summary) == DRAWN[name](summary)


def test_ids_of_different_figures_never_meet(make_summary: Make) -> None:
    summary = make_summary(supervised=True)
    seen: set[str] = set()
    for draw in DRAWN.values():
        root = ElementTree.fromstring(draw(summary))  # noqa: S314 - our own output
        ids = {value for node in root.iter() if (value := node.get("id"))}
        assert not ids & seen
        seen |= ids


def test_the_label_speaks_the_values(make_summary: Make, edited: Make) -> None:
    summary = edited(make_summary(), 0.123, "models", "unlearned", "audit", "attacks", 0, "auc", "estimate")
    assert "unlearned 0.123" in figures.attack_forest(summary)
    assert "unlearned 0.123" in figures.leak_dots(summary, "view_similarity")


def test_measures_that_no_model_has_are_left_out(make_summary: Make) -> None:
    assert "classifier" in figures.accuracy_dots(make_summary(supervised=True))
    assert "classifier" not in figures.accuracy_dots(make_summary())


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "$\\frac{$", '"><img src=x>', "a\nb"])
def test_hostile_names_are_only_text(make_summary: Make, edited: Make, name: str) -> None:
    summary = make_summary()
    for model in figures.MODELS:
        summary = edited(summary, name, "models", model, "audit", "attacks", 0, "name")
        summary = edited(summary, name, "models", model, "audit", "signals", 0, "name")
    for text in (figures.attack_forest(summary), figures.signal_histograms(summary, name)):
        root = ElementTree.fromstring(text)  # noqa: S314 - our own output
        assert name.split()[0] in (root.findtext(f"{SVG}title") or "")
        assert not [node for node in root.iter() if node.tag in (f"{SVG}script", f"{SVG}img")]


def test_an_empty_group_draws_a_flat_line(make_summary: Make, edited: Make) -> None:
    summary = edited(make_summary(), [0] * 30, "models", "original", "audit", "signals", 0, "forget")
    assert "nan" not in figures.signal_histograms(summary, "view_similarity").lower()


def test_histograms_show_the_reference_beside_what_is_judged(make_summary: Make, edited: Make) -> None:
    """The retrained model's forget set moves what is drawn for the others, and is named once in the legend."""
    summary = make_summary()
    text = figures.signal_histograms(summary, "loss")
    position = [histogram.name for histogram in summary.models["retrained"].audit.signals].index("loss")
    moved = edited(summary, [0] * 29 + [9], "models", "retrained", "audit", "signals", position, "forget")
    assert text.count("forget, if retrained") == 1
    assert text.count(COLOURS["retrained"].lower()) == 3  # two panels, and the legend
    assert figures.signal_histograms(moved, "loss") != text


def test_what_is_missing_is_named(make_summary: Make) -> None:
    summary = make_summary()
    with pytest.raises(UserError, match="'nonsense'"):
        figures.signal_histograms(summary, "nonsense")
    only = {key: model for key, model in summary.models.items() if key != "retrained"}
    with pytest.raises(UserError, match="retrained missing; the report compares original, unlearned, retrained"):
        figures.cost_bars(summary.model_copy(update={"models": only}))
    alone = make_summary(compared_with="references")
    assert tuple(figures.ordered_models(alone)) == ("original", "unlearned")
    with pytest.raises(UserError, match=r"unlearned missing; the report compares original, unlearned$"):
        figures.cost_bars(alone.model_copy(update={"models": {"original": alone.models["original"]}}))


def test_models_come_in_reading_order_whatever_the_file_says(make_summary: Make) -> None:
    summary = make_summary()
    shuffled = summary.model_copy(update={"models": dict(reversed(summary.models.items()))})
    assert tuple(figures.ordered_models(shuffled)) == figures.MODELS
    assert figures.attack_forest(shuffled) == figures.attack_forest(summary)
