from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearning.registry.overview import VersionSummary
from unlearning.reporting.figures import lineage

SVG = "{http://www.w3.org/2000/svg}"


def version(number: int, parent: int = 0, **changed: object) -> VersionSummary:
    known = {"version": str(number), "parent": str(parent) if parent else "none", "method": "finetune", "requests": 0}
    known |= {"kind": "unlearned" if parent else "original", "status": "superseded", "verdict": "none", "serves": False}
    return VersionSummary.model_validate(known | changed)


HISTORY = (
    version(1, status="purged"),
    version(2, 1, status="rejected", verdict="leaks"),
    version(3, 1, verdict="passed", requests=1),
    version(4, 3, status="rejected", verdict="over_forgotten"),
    version(5, 3, status="serving", serves=True, requests=2, kind="retrained"),
)


@st.composite
def families(draw: st.DrawFn) -> list[VersionSummary]:
    count = draw(st.integers(1, 12))
    serves = draw(st.integers(0, count))
    first = draw(st.integers(1, 3))
    return [
        version(number, draw(st.integers(0, number - 1)), serves=number == serves)
        for number in range(first, first + count)
    ]


def parse(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - our own output


def words(root: ElementTree.Element) -> list[str]:
    return [node.text or "" for node in root.iter(f"{SVG}text")]


def test_the_line_to_the_one_that_serves_is_straight_and_others_stand_beside_it() -> None:
    assert lineage.lanes(HISTORY) == {"1": 0, "2": 1, "3": 0, "4": 1, "5": 0}


@given(families())
def test_no_line_passes_through_a_version_or_along_another_line(versions: list[VersionSummary]) -> None:
    """A line lies in its version's lane from the row below the parent's on; slow check of every cell."""
    lanes, rows = lineage.lanes(versions), {each.version: row for row, each in enumerate(versions)}
    assert lanes.keys() == rows.keys()
    used: dict[tuple[int, int], str] = {}
    for each in versions:
        row = rows[each.version]
        first = rows[each.parent] + 1 if each.parent in rows else row
        for cell in range(first, row + 1):
            assert used.setdefault((lanes[each.version], cell), each.version) == each.version


@given(families())
def test_every_version_and_every_link_is_drawn(versions: list[VersionSummary]) -> None:
    root = parse(lineage.graph("m", versions))
    known = {each.version for each in versions}
    first = [text.split(" · ")[0] for text in words(root)[::2]]
    assert first == [f"version {each.version}" for each in versions]
    marks = [path for path in root.iter(f"{SVG}path") if path.get("transform")]
    lines = [path for path in root.iter(f"{SVG}path") if not path.get("transform")]
    assert len(marks) == len(versions)
    assert len(lines) == sum(each.parent != "none" for each in versions)
    assert sum("stroke-dasharray" in path.attrib for path in lines) == sum(
        each.parent not in known and each.parent != "none" for each in versions
    )
    text = lineage.mermaid("m", versions)
    arrows = set(re.findall(r"v(\d+) --> v(\d+)", text))
    assert arrows == {(each.parent, each.version) for each in versions if each.parent in known}


def test_lines_end_at_the_versions_they_join() -> None:
    root = parse(lineage.graph("m", HISTORY))
    marks, lines = [], []
    for path in root.iter(f"{SVG}path"):
        if path.get("transform"):
            x, y = re.findall(r"-?\d+", str(path.get("transform")))
            marks.append((int(x), int(y)))
        else:
            values = [int(value) for value in re.findall(r"-?\d+", str(path.get("d")))]
            lines.append(((values[0], values[1] - lineage.AROUND), (values[-2], values[-1] + lineage.AROUND)))
    expected = [(int(each.parent) - 1, int(each.version) - 1) for each in HISTORY if each.parent != "none"]
    assert lines == [(marks[parent], marks[child]) for parent, child in expected]


def test_a_line_bends_only_to_another_lane() -> None:
    paths = parse(lineage.graph("m", HISTORY)).iter(f"{SVG}path")
    bends = ["C" in str(path.get("d")) for path in paths if not path.get("transform")]
    assert bends == [True, False, True, False], "to 2, 3, 4 and 5, of which 2 and 4 were refused"


def test_status_verdict_and_requests_are_written_and_marked() -> None:
    root = parse(lineage.graph("m", HISTORY))
    assert words(root) == [
        "version 1 · purged", "original by finetune",
        "version 2 · leaks · rejected", "unlearned by finetune",
        "version 3 · passed · superseded", "unlearned by finetune, honours 1 request",
        "version 4 · over forgotten · rejected", "unlearned by finetune",
        "version 5 · serving", "retrained by finetune, honours 2 requests",
    ]  # fmt: skip
    marks = [path for path in root.iter(f"{SVG}path") if path.get("transform")]
    assert ["stroke-dasharray" in mark.attrib for mark in marks] == [True, False, False, False, False]
    assert [mark.get("fill") == "none" for mark in marks] == [True, True, True, True, False]
    said = str(root.get("aria-label"))
    assert said.startswith("Versions of m: version 1 · purged, original by finetune; version 2")
    assert root.findtext(f"{SVG}title") == said
    assert root.get("role") == "img"


def test_everything_is_within_the_picture() -> None:
    root = parse(lineage.graph("m", HISTORY))
    _, _, width, height = map(int, str(root.get("viewBox")).split())
    for node in root.iter(f"{SVG}text"):
        end = int(str(node.get("x"))) + 6.6 * len(node.text or "") * int(str(node.get("font-size"))) / 12
        assert end <= width
        assert 0 < int(str(node.get("y"))) < height


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><b>', "a & b", "]}--> x", 'x"\n  v1 --> v9'])
def test_a_name_is_no_markup(hostile: str) -> None:
    versions: Sequence[VersionSummary] = [version(1, method=hostile, status=hostile, verdict=hostile)]
    root = parse(lineage.graph(hostile, versions))
    assert hostile in str(root.get("aria-label")).replace("_", " ") or "\n" in hostile
    assert {node.tag.removeprefix(SVG) for node in root.iter()} == {"svg", "title", "path", "text"}
    text = lineage.mermaid(hostile, versions)
    assert len(text.splitlines()) == len(lineage.mermaid("m", [version(1)]).splitlines())
    assert "<script>" not in text.split("---")[-1]
    assert "-->" not in "\n".join(text.splitlines()[3:])


def test_a_model_without_versions_is_drawn_as_nothing() -> None:
    assert parse(lineage.graph("m", ())).get("aria-label") == "Versions of m: none"
