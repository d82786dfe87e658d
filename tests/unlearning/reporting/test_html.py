from __future__ import annotations

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearning.audit.results import Interval
from unlearning.reporting import html as pages

NARROW = Interval(estimate=-0.0123, low=-0.05, high=0.02)


def test_figures_are_written_with_their_intervals() -> None:
    assert pages.cell(NARROW) == ("-0.012", "[-0.050, 0.020]")
    assert pages.cell(NARROW.model_copy(update={"level": 0.9})) == ("-0.012", "[-0.050, 0.020] (90 %)")
    assert pages.percent(NARROW) == ("-1.2 %", "[-5.0, 2.0]")
    assert pages.percent(None) == ("none", "")
    assert pages.signed(NARROW) == ("−0.012", "[−0.050, +0.020] (95 %)")
    assert pages.points(NARROW) == ("−1.2", "[−5.0, +2.0] (95 %)")
    assert pages.signed(Interval(estimate=-1e-9, low=0, high=0))[0] == "+0.000"


def test_settings_are_laid_flat_without_what_names_a_record_or_a_person() -> None:
    settings = {"a": {"b": 1, "record_ids": ["x"]}, "note": "for " + "f" * 64, "empty": {}, "list": [1, "y"]}
    assert list(pages.flat(settings)) == [
        ("a.b", "1"),
        ("a.record_ids", "(not shown)"),
        ("note", "for (SHA-256, not shown)"),
        ("empty", "{}"),
        ("list", '[1, "y"]'),
    ]


def test_a_name_that_is_not_given_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        pages.environment().from_string("{{ nothing }}").render()


@given(st.text("<>&'\"_ab"))
def test_texts_are_escaped_and_broken_after_underscores_only(text: str) -> None:
    shown = pages.environment().from_string("{{ text }}|{{ text | breakable }}").render(text=text)
    plain, breakable = shown.split("|")
    assert breakable.replace("<wbr>", "") == plain
    assert not set(plain) & set("<>'\"")
    assert breakable.count("<wbr>") == text.count("_")
