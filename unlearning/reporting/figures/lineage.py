"""The versions of a model, drawn: one row each, under what it was made from.

The line that leads to the version that serves runs straight down on the left; what was tried beside it has
a lane of its own from its parent's row to its own, so no line passes through another version.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence

from unlearning.registry.overview import VersionSummary
from unlearning.reporting.figures.style import COLOURS, STANDALONE_INK

ROW, LANE, MARGIN = 44, 22, 20
"""Height of a row, width of a lane, room around, in pixels."""
AROUND = 9
"""Pixels from a version's middle that lines keep away."""
CHARACTER = 7.4
"""Pixels that a letter of the labels takes at most, on average."""
NONE = "none"


def lanes(versions: Sequence[VersionSummary]) -> dict[str, int]:
    """A lane for each version, 0 for the line to the one that serves."""
    rows = {each.version: row for row, each in enumerate(versions)}
    main = _main_line(versions)
    taken: dict[int, list[tuple[int, int]]] = {}
    found: dict[str, int] = {}
    for row, each in enumerate(versions):
        if each.version in main:
            found[each.version] = 0
            continue
        first = rows[each.parent] + 1 if rows.get(each.parent, row) < row else row
        lane = found.get(each.parent, 0) or 1
        while any(start <= row and first <= end for start, end in taken.get(lane, ())):
            lane = lane + 1
        taken.setdefault(lane, []).append((first, row))
        found[each.version] = lane
    return found


def _main_line(versions: Sequence[VersionSummary]) -> set[str]:
    """The version that serves, or the newest if none does, and all it was made from."""
    known = {each.version: each for each in versions}
    at = next((each for each in versions if each.serves), versions[-1] if versions else None)
    line: set[str] = set()
    while at is not None and at.version not in line:
        line.add(at.version)
        at = known.get(at.parent)
    return line


def graph(name: str, versions: Sequence[VersionSummary]) -> str:
    """The drawing as an `<svg>` element with an accessible name.

    Args:
        name: of the model.
        versions: oldest first; a parent that is not among them is hinted at.
    """
    lane, rows = lanes(versions), {each.version: row for row, each in enumerate(versions)}
    left = 2 * MARGIN + LANE * max(lane.values(), default=0)
    text = max((len(line) for each in versions for line in _lines(each)), default=0)
    width, height = left + round(CHARACTER * text) + MARGIN, ROW * max(len(versions), 1)
    places = {number: (MARGIN + LANE * lane[number], ROW * row + ROW // 2) for number, row in rows.items()}
    said = html.escape(f"Versions of {name}: {'; '.join(', '.join(_lines(each)) for each in versions) or 'none'}")
    parts = [*_edges(versions, places), *(part for each in versions for part in _node(each, places, left))]
    return (
        f'<svg role="img" aria-label="{said}" color="{STANDALONE_INK}" xmlns="http://www.w3.org/2000/svg" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="DejaVu Sans, sans-serif">'
        f"<title>{said}</title>{''.join(parts)}</svg>"
    )


def _lines(each: VersionSummary) -> tuple[str, str]:
    """What is written beside a version."""
    verdict = () if each.verdict == NONE else (each.verdict.replace("_", " "),)
    honours = f", honours {each.requests} request{'s' if each.requests > 1 else ''}" if each.requests else ""
    return " · ".join((f"version {each.version}", *verdict, each.status)), f"{each.kind} by {each.method}{honours}"


def _edges(versions: Sequence[VersionSummary], places: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    line = 'fill="none" stroke="currentColor" stroke-width="1.5"'
    for each in versions:
        x, y = places[each.version]
        if each.parent in places:
            before, above = places[each.parent]
            bend = f"C {before} {above + 30} {x} {above + 14} {x} {above + ROW - AROUND} " if x != before else ""
            yield f'<path d="M {before} {above + AROUND} {bend}L {x} {y - AROUND}" {line}/>'
        elif each.parent != NONE:
            yield f'<path d="M {x} {y - ROW // 2} L {x} {y - AROUND}" stroke-dasharray="2 3" {line}/>'


_SHAPES = {
    "original": "M -6 0 a 6 6 0 1 0 12 0 a 6 6 0 1 0 -12 0 Z",
    "unlearned": "M -6 -6 H 6 V 6 H -6 Z",
    "retrained": "M 0 -8 L 8 0 L 0 8 L -8 0 Z",
}
"""A circle, a square and a diamond, as models are marked in the other figures."""


def _node(each: VersionSummary, places: Mapping[str, tuple[int, int]], left: int) -> Iterator[str]:
    x, y = places[each.version]
    colour = COLOURS.get(each.kind, STANDALONE_INK)
    gone = ' stroke-dasharray="2 2"' if each.status in ("withdrawn", "purged") else ""
    fill = colour if each.serves else NONE
    shape = _SHAPES.get(each.kind, _SHAPES["original"])
    yield f'<path d="{shape}" transform="translate({x} {y})" fill="{fill}" stroke="{colour}" stroke-width="2.5"{gone}/>'
    first, second = map(html.escape, _lines(each))
    weight = ' font-weight="bold"' if each.serves else ""
    yield f'<text x="{left}" y="{y - 3}" font-size="13" fill="currentColor"{weight}>{first}</text>'
    yield f'<text x="{left}" y="{y + 13}" font-size="11" fill="currentColor">{second}</text>'


def mermaid(name: str, versions: Sequence[VersionSummary]) -> str:
    """The same as Mermaid text, as wikis and GitHub draw it."""
    lines = ["---", f"title: {json.dumps(name)}", "---", "flowchart TD"]
    known = {each.version for each in versions}
    for each in versions:
        label = "<br>".join(map(_mermaid_text, _lines(each)))
        lines.append(f'  v{_identifier(each.version)}["{label}"]:::{_identifier(each.status)}')
    for each in versions:
        if each.parent in known:
            lines.append(f"  v{_identifier(each.parent)} --> v{_identifier(each.version)}")
    lines += ["  classDef serving stroke-width:3px", "  classDef withdrawn,purged stroke-dasharray:4"]
    return "\n".join(lines) + "\n"


def _identifier(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "-", text)


def _mermaid_text(text: str) -> str:
    """Nothing in it is markup: Mermaid writes characters by their numbers."""
    return re.sub(r"[^\w .,:+·-]", lambda found: f"#{ord(found[0])};", text)
