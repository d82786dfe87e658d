from __future__ import annotations

from typing import Any

import pytest

from unlearning.audit.policy import Margins
from unlearning.audit.qualification_results import Qualification, covering, matching, qualified_statement
from unlearning.audit.results import Comparison, Interval


def qualification(size: int = 3, **changed: Any) -> Qualification:
    gap = Interval(estimate=0.021, low=-0.01, high=0.052, level=0.9)
    given: dict[str, Any] = {
        "original": "a" * 64, "split": "b" * 64, "method": "gradient_matching", "settings": {"weight": 1.0},
        "size": size, "sets": 100, "seed": 0, "references": 16, "holdout": 2_000, "auc_margin": 0.1,
        "utility_margin": 0.03, "record_margin": 0.05, "memory_margin": 0.25,
        "outcome": "qualified", "reasons": ("every attack is within the margin",),
        "comparisons": (Comparison(attack="loss", reference="references", difference=gap),),
        "utility_lost": {"knn": Interval(estimate=0.001, low=-0.002, high=0.004, level=0.9)},
        "worst_utility_lost": {"knn": 0.01}, "seconds": 2.0,
    }  # fmt: skip
    return Qualification(**given | changed)


def sizes(*found: Qualification) -> tuple[int, ...]:
    return tuple(each.size for each in found)


MARGINS = Margins(auc_margin=0.1, utility_margin=0.03)


@pytest.mark.parametrize(
    ("records", "covered"),
    [(1, (1,)), (2, (1, 3)), (3, (3,)), (4, (3, 10)), (10, (10,)), (11, ()), (1_000, ())],
)
def test_a_request_is_covered_at_a_size_that_was_tried_or_between_two(records: int, covered: tuple[int, ...]) -> None:
    found = [qualification(size) for size in (1, 3, 10)]
    assert sizes(*covering(found, records, MARGINS)) == covered


def test_nothing_is_said_below_the_smallest_size() -> None:
    assert covering([qualification(3), qualification(10)], 2, MARGINS) == ()


@pytest.mark.parametrize("outcome", ["not_qualified", "inconclusive"])
def test_the_nearest_sizes_that_were_tried_must_both_be_qualified(outcome: str) -> None:
    found = [qualification(1), qualification(3, outcome=outcome), qualification(10)]
    assert [sizes(*covering(found, records, MARGINS)) for records in (1, 2, 3, 4, 10)] == [(1,), (), (), (), (10,)]


@pytest.mark.parametrize("margin", Margins.model_fields)
def test_wider_margins_than_the_policys_do_not_count(margin: str) -> None:
    wider = qualification(3, **{margin: getattr(MARGINS, margin) * 1.1})
    assert covering([wider], 3, MARGINS) == ()
    assert covering([qualification(3, **{margin: getattr(MARGINS, margin) / 2})], 3, MARGINS) != ()


@pytest.mark.parametrize(
    "changed", [{"original": "c" * 64}, {"split": "c" * 64}, {"method": "finetune"}, {"settings": {"weight": 2.0}}]
)
def test_only_the_same_original_data_method_and_settings_match(changed: dict[str, Any]) -> None:
    wanted: dict[str, Any] = {
        "original": "a" * 64, "split": "b" * 64, "method": "gradient_matching", "settings": {"weight": 1.0}
    }  # fmt: skip
    assert sizes(*matching([qualification(10), qualification(1)], **wanted)) == (1, 10)
    assert matching([qualification(3, **changed)], **wanted) == ()


def test_the_statement_has_the_numbers_and_claims_nothing_of_the_records() -> None:
    told = qualified_statement([qualification(1), qualification(3)], 2)
    for part in ("could not tell whether these 2 records were forgotten", "of the method and not of them",
                 "100 simulated sets of 1 (100 records in all)", "100 simulated sets of 3 (300 records in all)",
                 "± 0.1 AUC", "loss with +0.021 (90% interval -0.010 to +0.052)", "+0.004 of accuracy",
                 "drawn at random"):  # fmt: skip
        assert part in told
    assert "this record was forgotten" in qualified_statement([qualification(1)], 1)


def test_it_is_told_in_a_line() -> None:
    assert qualification().told == "qualified: 100 sets of 3, loss +0.021 AUC [-0.010, +0.052], margin 0.1"
    none = qualification(comparisons=(), outcome="not_qualified")
    assert none.told == "not_qualified: 100 sets of 3, margin 0.1"


def test_the_farthest_is_the_one_whose_interval_comes_nearest_to_the_margin() -> None:
    near = Comparison(attack="rmia", difference=Interval(estimate=0.0, low=-0.06, high=0.01, level=0.9))
    found = qualification(comparisons=(*qualification().comparisons, near)).farthest
    assert found is not None
    assert found.attack == "rmia"
