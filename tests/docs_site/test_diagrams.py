from __future__ import annotations

from itertools import combinations

import pytest

from docs_site import diagrams
from docs_site.diagrams import Chart, Edge, Node

CHART = """\
flowchart LR
  a[first step] --> b & c
  b -- went well --> d[the end]
  c -. perhaps .-> d
"""


def test_nodes_and_edges_are_read() -> None:
    chart = diagrams.parse(CHART)
    assert {name: " ".join(node.lines) for name, node in chart.nodes.items()} == {
        "a": "first step", "b": "b", "c": "c", "d": "the end",
    }  # fmt: skip
    assert chart.edges == [
        Edge("a", "b"), Edge("a", "c"), Edge("b", "d", "went well"), Edge("c", "d", "perhaps", dotted=True),
    ]  # fmt: skip


@pytest.mark.parametrize("direction", ["LR", "TB"])
def test_boxes_do_not_overlap_and_arrows_go_forward(direction: str) -> None:
    chart: Chart = diagrams.parse(CHART.replace("LR", direction))
    width, height = diagrams.place(chart)

    def apart(one: Node, other: Node) -> bool:
        return (
            abs(one.x - other.x) >= (one.width + other.width) / 2
            or abs(one.y - other.y) >= (one.height + other.height) / 2
        )

    assert all(apart(*pair) for pair in combinations(chart.nodes.values(), 2))
    for node in chart.nodes.values():
        assert node.width / 2 - 0.01 <= node.x <= width - node.width / 2 + 0.01
        assert node.height / 2 - 0.01 <= node.y <= height - node.height / 2 + 0.01
    along = "x" if direction == "LR" else "y"
    assert all(getattr(chart.nodes[edge.start], along) < getattr(chart.nodes[edge.end], along) for edge in chart.edges)


def test_the_picture_has_every_word_and_escapes_it() -> None:
    svg = diagrams.svg("flowchart LR\n  a[x < y] -- if & only --> b")
    assert "x &lt; y" in svg
    assert "if &amp; only" in svg
    assert svg.count("<rect") == 2


@pytest.mark.parametrize("text", ["graph LR\n a --> b", "flowchart LR\n subgraph x[y]", "flowchart LR\n a{b} --> c"])
def test_what_is_not_drawn_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="drawn"):
        diagrams.parse(text)


def test_only_mermaid_is_replaced() -> None:
    page = diagrams.replaced("```mermaid\nflowchart LR\n  a --> b\n```\n\n```sh\nmake\n```\n")
    assert page.startswith('<div class="diagram"><svg')
    assert page.endswith("```sh\nmake\n```\n")
