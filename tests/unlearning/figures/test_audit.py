from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest

from unlearning.errors import UserError
from unlearning.figures import audit as figures
from unlearning.summary import Summary, strongest_attack

Make = Callable[..., Summary]
SVG = "{http://www.w3.org/2000/svg}"
DRAWN: dict[str, Callable[[Summary], str]] = {
    "roc": lambda s: figures.roc_curves(s, strongest_attack(s)),
    "roc-log": lambda s: figures.roc_curves(s, strongest_attack(s), "log"),
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
    assert "minus that of references that never saw the records" in text
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
    assert "unlearned 0.123" in figures.roc_curves(summary, "view_similarity")


def test_a_curve_moves_with_its_points(make_summary: Make, edited: Make) -> None:
    summary = make_summary()
    diagonal = {"false_positive_rate": [0, 1], "true_positive_rate": [0, 1]}
    position = [attack.name for attack in summary.models["original"].audit.attacks].index("combined_retained")
    other = edited(summary, diagonal, "models", "original", "audit", "attacks", position, "roc")
    for scale in ("linear", "log"):
        assert figures.roc_curves(summary, "combined_retained", scale) != figures.roc_curves(
            other, "combined_retained", scale
        )


def test_log_axes_reach_below_one_percent_and_survive_curves_without_small_rates(
    make_summary: Make, edited: Make
) -> None:
    summary = make_summary()
    for model in figures.MODELS:
        diagonal = {"false_positive_rate": [0, 1], "true_positive_rate": [0, 1]}
        summary = edited(summary, diagonal, "models", model, "audit", "attacks", 0, "roc")
    assert "0.1 %" in figures.roc_curves(summary, "view_similarity", "log")


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


def test_what_is_missing_is_named(make_summary: Make) -> None:
    summary = make_summary()
    with pytest.raises(UserError, match="'nonsense'"):
        figures.roc_curves(summary, "nonsense")
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
