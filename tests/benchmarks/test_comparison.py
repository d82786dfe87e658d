from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import comparison, rows, table
from unlearning.core.errors import UserError
from unlearning.reporting.comparison import load

RESULTS = Path(comparison.__file__).parent / "results" / "unlearning.json"


def test_a_row_is_what_the_results_table_says_of_the_method() -> None:
    measured = rows.load(RESULTS)
    found = comparison.of_rows(measured)
    groups = table.group(measured, paradigm="simclr", sweep="main")
    main = {entry.method: entry for entry in found.entries if entry.paradigm == "simclr" and "main:" in entry.condition}
    assert list(main) == list(groups)
    for method, group in groups.items():
        gap = main[method].gap
        assert gap is not None
        assert gap.value == group.gap.value
        assert gap.low == pytest.approx(group.gap.value - group.gap.half)
        assert main[method].seeds == len(group.rows)
    assert found.entries[0].condition.startswith("main")


def test_every_row_is_behind_one_entry() -> None:
    measured = rows.load(RESULTS)
    assert sum(entry.seeds for entry in comparison.of_rows(measured).entries) == len(measured)


def test_a_single_seed_has_no_interval() -> None:
    measured = [row for row in rows.load(RESULTS) if row.seed == 0]
    assert all(entry.gap is not None and entry.gap.low is None for entry in comparison.of_rows(measured).entries)


def test_no_rows_are_refused() -> None:
    with pytest.raises(UserError, match="no rows to compare"):
        comparison.of_rows([])


def test_the_page_and_its_numbers_are_written_side_by_side(tmp_path: Path) -> None:
    comparison.main(RESULTS, tmp_path / "page.html")
    assert load(tmp_path / "page.json") == comparison.of_rows(rows.load(RESULTS))
    assert "</html>" in (tmp_path / "page.html").read_text()
