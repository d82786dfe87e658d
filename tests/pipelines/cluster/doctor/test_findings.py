from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.cluster.doctor.findings import Finding, examine
from unlearning.core.errors import UserError


def fine() -> Iterator[Finding]:
    yield Finding(check="a", state="ok", found="well")


def stuck() -> Iterator[Finding]:
    yield Finding(check="b", state="ok", found="half of it")
    raise UserError("the rest\nis away")


def test_a_check_that_cannot_go_on_is_a_finding_and_the_next_is_made() -> None:
    assert [(each.check, each.state, each.found) for each in examine([("b", stuck), ("a", fine)])] == [
        ("b", "ok", "half of it"), ("b", "failed", "the rest is away"), ("a", "ok", "well"),
    ]  # fmt: skip


def test_programming_errors_stay_loud() -> None:
    def broken() -> Iterator[Finding]:
        raise KeyError("x")
        yield

    with pytest.raises(KeyError):
        list(examine([("c", broken)]))


def test_a_line_says_what_to_do() -> None:
    assert Finding(check="store", state="failed", found="away", do="look").line(8) == "failed  store     away; look"
    assert Finding(check="store", state="ok", found="there").line() == "ok      store  there"
