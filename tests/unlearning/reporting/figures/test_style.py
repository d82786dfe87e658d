from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from unlearning.reporting.figures.style import COLOURS, FORGET, INK, STANDALONE_INK, STYLE, svg

SVG = "{http://www.w3.org/2000/svg}"
PAGES = {"light": "#ffffff", "dark": "#12161b"}


def drawn(name: str = "some", label: str = "what it says") -> str:
    with mpl.rc_context(STYLE):
        figure = Figure((2, 2))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=INK, marker="o")
        axes.set_title("100 $ and <b> & $\\frac{$")
        return svg(figure, name, label)


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("colour", [*COLOURS.values(), FORGET, STANDALONE_INK])
def test_every_colour_is_seen_on_light_and_on_dark_pages(colour: str, page: str) -> None:
    darker, lighter = sorted((luminance(colour), luminance(page)))
    assert (lighter + 0.05) / (darker + 0.05) >= 3


def test_what_is_neutral_follows_the_page_and_has_a_grey_of_its_own() -> None:
    text = drawn()
    root = ElementTree.fromstring(text)  # noqa: S314 - our own output
    assert root.get("color") == STANDALONE_INK
    assert INK not in text
    colours = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", text))
    assert colours == {"currentColor", "none"}


def test_a_label_is_spoken_and_only_text() -> None:
    label = '"><script>alert(1)</script> & more'
    root = ElementTree.fromstring(drawn(label=label))  # noqa: S314 - our own output
    assert root.get("role") == "img"
    assert root.get("aria-label") == label
    assert root.findtext(f"{SVG}title") == label
    assert not list(root.iter(f"{SVG}script"))
    assert "100 $ and <b> & $\\frac{$" in "".join(root.itertext())


@pytest.mark.parametrize("name", ["plain", "Two Words", '"><x y="', "ä/ö"])
def test_every_reference_meets_an_id_and_every_id_has_the_name(name: str) -> None:
    text = drawn(name)
    root = ElementTree.fromstring(text)  # noqa: S314 - our own output
    prefix = re.sub(r"[^a-z0-9-]+", "-", name.lower())
    ids = [value for node in root.iter() if (value := node.get("id"))]
    assert len(ids) == len(set(ids)) > 3
    assert all(value.startswith(f"{prefix}-") for value in ids)
    references = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert references
    assert set(references) <= set(ids)


def test_drawing_twice_gives_the_same_text_and_another_name_other_ids() -> None:
    assert drawn() == drawn()
    ids = [set(re.findall(r' id="([^"]+)"', drawn(name))) for name in ("one", "other")]
    assert not ids[0] & ids[1]
