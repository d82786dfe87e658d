"""The page claims only what a test shows: every test that it names must exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_test_the_page_names_exists() -> None:
    named = NAMED.findall((ROOT / "docs/threat-model.md").read_text())
    assert len(named) >= 25
    missing = [
        f"{path}::{test}"
        for path, test in named
        if not (ROOT / path).exists() or (test and test not in functions(ROOT / path))
    ]
    assert not missing


def test_a_row_without_a_test_says_so() -> None:
    rows = [line for line in (ROOT / "docs/threat-model.md").read_text().splitlines() if line.startswith("| ")]
    tables = [row for row in rows if not row.startswith("| who ")]
    assert tables
    assert all(NAMED.search(row) or row.endswith("| none |") for row in tables)
