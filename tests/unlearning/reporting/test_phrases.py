from __future__ import annotations

from dataclasses import fields
from typing import get_args

import pytest

from unlearning.audit.escalation import ACTIONS
from unlearning.audit.results import UTILITY_REFERENCE, Interval, Outcome, Reference, Verdict
from unlearning.audit.verdict import AGAINST, WHOSE
from unlearning.reporting.phrases import OUTCOMES, WORDS, Ideals, Words, why

REFERENCES: tuple[Reference, ...] = get_args(Reference)


def verdict(outcome: Outcome, compared_with: Reference) -> Verdict:
    return Verdict(
        outcome=outcome,
        compared_with=compared_with,
        reasons=(),
        auc_margin=0.07,
        utility_margin=0.025,
        comparisons=(),
        utility_lost={"knn": Interval(estimate=0, low=0, high=0)},
    )


def test_there_are_words_for_everything_that_can_happen() -> None:
    from unlearning.reporting.phrases import ACTIONS as TOLD

    assert set(OUTCOMES) == set(get_args(Outcome))
    assert set(TOLD) == set(ACTIONS)
    assert set(WORDS) == set(WHOSE) == set(UTILITY_REFERENCE) == set(REFERENCES)
    assert set(AGAINST) == set(UTILITY_REFERENCE.values())


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_the_margins_and_what_was_compared_with_are_told(outcome: Outcome) -> None:
    for compared_with in REFERENCES:
        told = why(verdict(outcome, compared_with))
        assert "{" not in told
        assert ("0.07 AUC" in told) == (outcome in ("passed", "inconclusive"))
        assert ("beyond the margins" in told) == (outcome in ("leaks", "over_forgotten"))
        assert ("single records were not tested" in told) == (outcome == "passed")
        assert ("2.5 percentage points" in told) == (outcome in ("passed", "utility_lost", "inconclusive"))
        assert ("retrained" in told) == (compared_with == "retrained" and outcome != "diverged")


def test_where_nothing_was_retrained_no_words_are_of_a_retrained_model() -> None:
    words = WORDS["references"]
    told = [getattr(words, field.name) for field in fields(Words) if field.name != "ideals"]
    told += [getattr(words.ideals, field.name) for field in fields(Ideals)]
    assert not [each for each in told if "retrained" in each.replace("without a retrained model", "")]
