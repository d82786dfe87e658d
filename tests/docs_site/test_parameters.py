from __future__ import annotations

import pytest

from docs_site import parameters
from pipelines.parameters import FORMS


@pytest.mark.parametrize("pipeline", ["pretraining", "qualification", "unlearning", "compliance"])
def test_every_parameter_has_its_row_in_the_order_of_the_form(pipeline: str) -> None:
    _, _, *rows = parameters.table(pipeline).splitlines()
    names = [row.split("|")[2].strip(" `") for row in rows]
    assert names == [name for kind in FORMS[pipeline].values() for name in kind.model_fields]
    assert all(row.replace(r"\|", "").count("|") == 5 for row in rows)


def test_bounds_choices_and_defaults_are_told() -> None:
    (row,) = (row for row in parameters.table("unlearning").splitlines() if "`stronger`" in row)
    assert row.endswith("| `1` | Escalated settings to try where a candidate still leaks. At least 0, at most 2. |")
    (row,) = (row for row in parameters.table("compliance").splitlines() if "`on_inconclusive`" in row)
    assert '`"accept_retrained"`' in row


def test_only_the_place_is_replaced() -> None:
    page = parameters.replaced("before\n<!-- parameters of compliance -->\nafter")
    assert page == f"before\n{parameters.table('compliance')}\nafter"
