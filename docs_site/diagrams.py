"""Flow charts as SVG inside the page, from the little of Mermaid's language that docs/ uses.

A forge draws a block marked `mermaid` by itself. Mermaid's own script comes from another host, so the site
gets a picture made here: `flowchart LR` or `TB`, nodes `id[label]`, edges `-->`, `-- text -->`, `-. text .->`
and `&`. Anything else is an error, so that no diagram is drawn wrong.
"""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import dataclass, field

BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ARROW = re.compile(r"\s*(?:--(?:\s+(?P<said>[^-]+?)\s+--)?>|(?P<dotted>-\.)(?:\s*(?P<softly>.+?)\s*\.)?->)\s*")
NODE = re.compile(r"(?P<id>\w+)(?:\[(?P<label>[^\]]+)\])?")
LINE, CHARACTER, MARGIN, BESIDE, BETWEEN, WRAP = 16, 6.6, 9, 46, 16, 15


@dataclass
class Node:
    """A box: its text in lines, and where it stands."""

    lines: list[str]
    layer: int = 0
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        return max(map(len, self.lines)) * CHARACTER + 2 * MARGIN

    @property
    def height(self) -> float:
        return len(self.lines) * LINE + 2 * MARGIN


@dataclass(frozen=True)
class Edge:
    """An arrow from one box to another."""

    start: str
    end: str
    text: str = ""
    dotted: bool = False


@dataclass
class Chart:
    """What a block says."""

    across: bool
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)


def parse(text: str) -> Chart:
    """A block's text as a chart.

    Raises:
        ValueError: something that is not drawn here.
    """
    first, *rest = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if first not in ("flowchart LR", "flowchart TB"):
        raise ValueError(f"a diagram begins with {first!r}: only flowchart LR and TB are drawn")
    chart = Chart(first.endswith("LR"))
    for line in rest:
        _read(line, chart)
    return chart


def _read(line: str, chart: Chart) -> None:
    before: list[str] = []
    at = 0
    arrow: re.Match[str] | None = None
    while at < len(line):
        following = ARROW.search(line, at)
        names = [_node(each.strip(), chart) for each in line[at : following.start() if following else None].split("&")]
        if arrow is not None:
            text = arrow["said"] or arrow["softly"] or ""
            chart.edges += [Edge(a, b, text, bool(arrow["dotted"])) for a in before for b in names]
        before, arrow, at = names, following, following.end() if following else len(line)


def _node(text: str, chart: Chart) -> str:
    found = NODE.fullmatch(text)
    if found is None:
        raise ValueError(f"a diagram has {text!r}, which is not drawn")
    name, label = found["id"], found["label"]
    if name not in chart.nodes or label:
        chart.nodes[name] = Node(textwrap.wrap(label or name, WRAP))
    return name


def place(chart: Chart) -> tuple[float, float]:
    """Give every box its place; returns the size of the whole."""
    for _ in chart.nodes:  # the longest way to each, whatever the order of the edges
        for edge in chart.edges:
            end = chart.nodes[edge.end]
            end.layer = min(max(end.layer, chart.nodes[edge.start].layer + 1), len(chart.nodes))
    layers: dict[int, list[Node]] = {}
    for node in chart.nodes.values():
        layers.setdefault(node.layer, []).append(node)
    along = 0.0
    breadth = max(sum(_side(each, chart) + BETWEEN for each in layer) for layer in layers.values())
    for number in sorted(layers):
        layer = layers[number]
        depth = max(each.width if chart.across else each.height for each in layer)
        beside = (breadth - sum(_side(each, chart) + BETWEEN for each in layer)) / 2
        for node in layer:
            offset = beside + (BETWEEN + _side(node, chart)) / 2
            place = (along + depth / 2, offset) if chart.across else (offset, along + depth / 2)
            node.x, node.y = place
            beside += _side(node, chart) + BETWEEN
        along += depth + BESIDE
    return (along - BESIDE, breadth) if chart.across else (breadth, along - BESIDE)


def _side(node: Node, chart: Chart) -> float:
    return node.height if chart.across else node.width


def _arrow(edge: Edge, chart: Chart) -> str:
    start, end = chart.nodes[edge.start], chart.nodes[edge.end]
    if chart.across:
        x1, y1, x2, y2 = start.x + start.width / 2, start.y, end.x - end.width / 2 - 6, end.y
        curve = f"M{x1:.0f},{y1:.0f} C{(x1 + x2) / 2:.0f},{y1:.0f} {(x1 + x2) / 2:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"
    else:
        x1, y1, x2, y2 = start.x, start.y + start.height / 2, end.x, end.y - end.height / 2 - 6
        curve = f"M{x1:.0f},{y1:.0f} C{x1:.0f},{(y1 + y2) / 2:.0f} {x2:.0f},{(y1 + y2) / 2:.0f} {x2:.0f},{y2:.0f}"
    dashes = ' stroke-dasharray="4 4"' if edge.dotted else ""
    drawn = f'<path d="{curve}" fill="none" stroke="currentColor"{dashes} marker-end="url(#arrow)"/>'
    if edge.text:
        x, y = (x1 + x2) / 2, (y1 + y2) / 2 - 4
        drawn += f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" class="said">{html.escape(edge.text)}</text>'
    return drawn


def _box(node: Node) -> str:
    left, top = node.x - node.width / 2, node.y - node.height / 2
    shape = (
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{node.width:.0f}" height="{node.height:.0f}" rx="5" '
        'fill="none" stroke="currentColor"/>'
    )
    first = top + MARGIN + LINE - 4
    lines = (
        f'<text x="{node.x:.0f}" y="{first + number * LINE:.0f}" text-anchor="middle">{html.escape(line)}</text>'
        for number, line in enumerate(node.lines)
    )
    return shape + "".join(lines)


def svg(text: str) -> str:
    """A block's text as an SVG that takes the colours of the page."""
    chart = parse(text)
    width, height = place(chart)
    said = ", ".join(" ".join(node.lines) for node in chart.nodes.values())
    head = (
        f'<svg class="flow" role="img" aria-label="{html.escape(said)}" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="-2 -2 {width + 4:.0f} {height + 4:.0f}" style="max-width:{width:.0f}px">'
        '<defs><marker id="arrow" markerWidth="8" markerHeight="8" refX="2" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="currentColor"/></marker></defs>'
    )
    arrows = "".join(_arrow(edge, chart) for edge in chart.edges)
    return head + arrows + "".join(map(_box, chart.nodes.values())) + "</svg>"


def replaced(markdown: str) -> str:
    """The page with its diagrams as pictures."""
    return BLOCK.sub(lambda found: f'<div class="diagram">{svg(found[1])}</div>', markdown)
