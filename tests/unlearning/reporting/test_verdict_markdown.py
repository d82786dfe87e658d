from __future__ import annotations

from collections.abc import Callable

import pytest
from markdown_it import MarkdownIt

from unlearning.audit.escalation import Action
from unlearning.audit.results import Comparison, ForgottenBefore, Interval, Outcome
from unlearning.reporting.phrases import OUTCOMES
from unlearning.reporting.summary import Summary
from unlearning.reporting.verdict_markdown import FOLLOWS, markdown

Make = Callable[..., Summary]


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("action", FOLLOWS)
def test_it_says_what_the_verdict_says_and_what_follows(make_summary: Make, outcome: Outcome, action: Action) -> None:
    verdict = make_summary(outcome, None).verdict
    told = markdown(verdict, action)
    assert told.startswith(f"# The candidate {OUTCOMES[outcome]}\n")
    assert ("passed" in told.splitlines()[0]) == (outcome == "passed")
    assert FOLLOWS[action] in told
    html = MarkdownIt("commonmark").enable("table").render(told)
    assert html.count("<table>") == bool(verdict.comparisons) + bool(verdict.utility_lost)
    assert html.count("<tr>") == sum(len(rows) + 1 for rows in (verdict.comparisons, verdict.utility_lost) if rows)
    assert "<em>" not in html
    for each in verdict.comparisons:
        assert f"<td>{each.attack}</td>" in html


def test_nothing_in_it_becomes_html_or_another_cell(make_summary: Make) -> None:
    verdict = make_summary("leaks", None).verdict.model_copy(
        update={"reasons": ("<b>a|b</b> *c*",), "limits": ("x_y",)}
    )
    html = MarkdownIt("commonmark").enable("table").render(markdown(verdict, "person"))
    assert "<b>" not in html
    assert "a|b" in html
    assert "*c*" in html


def test_what_was_forgotten_before_is_told_with_its_number(make_summary: Make) -> None:
    verdict = make_summary("passed").verdict
    again = (Comparison(attack="loss", difference=Interval(estimate=0.123, low=0.1, high=0.146, level=0.9)),)
    before = ForgottenBefore(records=37, untested=0, comparisons=again)
    told = markdown(verdict.model_copy(update={"forgotten_before": before}), "promote")
    assert "Records forgotten before, 37 of them" in told
    assert "| loss | +0.123 |" in told
    gone = verdict.model_copy(update={"forgotten_before": ForgottenBefore(records=0, untested=5)})
    assert markdown(gone, "promote") == markdown(verdict, "promote"), "the limits say it"
