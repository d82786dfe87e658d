from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearning.audit.escalation import (
    ACTIONS,
    ATTEMPTS,
    NO_ATTEMPT,
    RETRAINED,
    SERVING,
    Action,
    AttemptName,
    accepted_statement,
    action_named,
    attempt_named,
    described,
    escalation_level,
    may_serve,
    next_action,
    next_attempt,
    rejecting_action,
    serving_action,
)
from unlearning.audit.policy import MAX_STRONGER, OnFailure, OnInconclusive, Policy
from unlearning.audit.results import Outcome
from unlearning.core.config import checked
from unlearning.core.errors import UserError

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
POLICIES = [
    Policy(stronger=stronger, on_failure=on_failure, on_inconclusive=on_inconclusive)
    for stronger in range(MAX_STRONGER + 1)
    for on_failure in get_args(OnFailure)
    for on_inconclusive in get_args(OnInconclusive)
]
EVERYTHING = [
    (outcome, attempt, chosen, complete)
    for outcome in OUTCOMES
    for attempt in ATTEMPTS
    for chosen in POLICIES
    for complete in (True, False)
]


def after(outcome: Outcome, attempt: AttemptName = "first", **chosen: Any) -> Action:
    return next_action(outcome, attempt, Policy(**chosen))


def test_nothing_but_a_passed_candidate_is_promoted() -> None:
    for outcome, attempt, chosen, complete in EVERYTHING:
        assert (next_action(outcome, attempt, chosen, complete=complete) == "promote") == (outcome == "passed")


def test_nothing_but_an_inconclusive_candidate_that_was_audited_in_full_is_accepted_and_only_where_asked() -> None:
    for outcome, attempt, chosen, complete in EVERYTHING:
        for qualified in (True, False):
            by = ("qualified",) if qualified else ()
            wanted = ("accept", "accept_retrained", "qualified") if attempt == RETRAINED else ("accept", *by)
            asked = outcome == "inconclusive" and chosen.on_inconclusive in wanted and complete
            action = next_action(outcome, attempt, chosen, complete=complete, qualified=qualified)
            assert (action == "accept") == asked


def test_only_what_leaks_is_tried_again_with_an_escalated_setting_and_no_more_often_than_allowed() -> None:
    for outcome, attempt, chosen, complete in EVERYTHING:
        again = outcome == "leaks" and attempt != RETRAINED and ATTEMPTS.index(attempt) < chosen.stronger
        assert (next_action(outcome, attempt, chosen, complete=complete) == "stronger") == again


def test_nothing_is_retrained_where_the_policy_says_stop_nor_twice() -> None:
    for outcome, attempt, chosen, complete in EVERYTHING:
        if next_action(outcome, attempt, chosen, complete=complete) == "retrain":
            assert attempt != RETRAINED
            assert outcome != "passed"
            says = chosen.on_inconclusive if outcome == "inconclusive" else chosen.on_failure
            assert says in ("retrain", "accept_retrained", "qualified")


@given(st.sampled_from(POLICIES), st.lists(st.sampled_from(OUTCOMES), min_size=MAX_STRONGER + 2))
def test_every_escalation_ends_after_as_many_attempts_as_there_are(chosen: Policy, outcomes: list[Outcome]) -> None:
    attempt: AttemptName = "first"
    tried = [attempt]
    for outcome in outcomes:
        action = next_action(outcome, attempt, chosen)
        if action in ("promote", "accept", "person"):
            break
        attempt = RETRAINED if action == "retrain" else ATTEMPTS[ATTEMPTS.index(attempt) + 1]
        tried.append(attempt)
    assert action in ("promote", "accept", "person")
    assert len(set(tried)) == len(tried) <= chosen.stronger + 2
    assert all(escalation_level(each) <= chosen.stronger for each in tried)


@pytest.mark.parametrize(
    ("outcome", "attempt", "chosen", "expected"),
    [
        ("passed", "first", {}, "promote"),
        ("leaks", "first", {}, "stronger"),
        ("leaks", "first", {"stronger": 0}, "retrain"),
        ("leaks", "stronger_1", {}, "retrain"),
        ("leaks", "stronger_1", {"stronger": 2}, "stronger"),
        ("leaks", "stronger_2", {"stronger": 2, "on_failure": "stop"}, "person"),
        ("over_forgotten", "first", {}, "retrain"),
        ("utility_lost", "first", {"on_failure": "stop"}, "person"),
        ("diverged", "first", {"stronger": 2}, "retrain"),
        ("diverged", "stronger_1", {"stronger": 2, "on_inconclusive": "accept"}, "retrain"),
        ("diverged", "stronger_2", {"stronger": 2, "on_failure": "stop"}, "person"),
        ("inconclusive", "first", {}, "retrain"),
        ("inconclusive", "first", {"on_failure": "stop"}, "retrain"),
        ("inconclusive", "stronger_1", {"on_inconclusive": "stop"}, "person"),
        ("inconclusive", "stronger_1", {"on_inconclusive": "accept"}, "accept"),
        ("inconclusive", "retrained", {}, "person"),
        ("inconclusive", "retrained", {"on_inconclusive": "accept"}, "accept"),
        ("inconclusive", "first", {"on_inconclusive": "accept_retrained"}, "retrain"),
        ("inconclusive", "retrained", {"on_inconclusive": "accept_retrained"}, "accept"),
        ("leaks", "retrained", {"on_inconclusive": "accept_retrained"}, "person"),
        ("inconclusive", "first", {"on_inconclusive": "qualified"}, "retrain"),
        ("inconclusive", "retrained", {"on_inconclusive": "qualified"}, "accept"),
        ("leaks", "first", {"on_inconclusive": "qualified"}, "stronger"),
        ("leaks", "retrained", {"stronger": 2}, "person"),
        ("passed", "retrained", {}, "promote"),
    ],
)
def test_the_table_of_decisions(
    outcome: Outcome, attempt: AttemptName, chosen: dict[str, Any], expected: Action
) -> None:
    assert after(outcome, attempt, **chosen) == expected


def test_what_lacks_an_attack_is_left_to_a_person_where_the_rest_would_be_accepted() -> None:
    accepting = Policy(on_inconclusive="accept")
    assert next_action("inconclusive", "first", accepting, complete=False) == "person"
    assert may_serve("inconclusive", "accept", retrained=False, complete=False) is None
    assert may_serve("inconclusive", "accept_retrained", retrained=True, complete=False) is None
    assert may_serve("inconclusive", "accept_retrained", retrained=False, complete=True) is None
    assert may_serve("passed", "stop", retrained=False, complete=True) == "promote"


def test_a_qualified_method_lets_serve_only_what_its_audit_could_not_judge_though_it_was_complete() -> None:
    qualified = Policy(on_inconclusive="qualified")
    assert next_action("inconclusive", "first", qualified, qualified=True) == "accept"
    assert next_action("inconclusive", "first", qualified, complete=False, qualified=True) == "retrain"
    for outcome in OUTCOMES:
        if outcome not in ("passed", "inconclusive"):
            assert may_serve(outcome, "qualified", retrained=False, complete=True, qualified=True) is None
    for other in ("retrain", "stop", "accept_retrained"):
        assert may_serve("inconclusive", other, retrained=False, complete=True, qualified=True) is None
    with pytest.raises(UserError, match="one whose method is qualified for it, or that was retrained exactly"):
        serving_action("inconclusive", "qualified", retrained=False, complete=True)


def test_only_what_may_serve_has_a_ground_to() -> None:
    assert serving_action("passed", "stop", retrained=False, complete=True) == "promote"
    assert serving_action("inconclusive", "accept", retrained=False, complete=True) == "accept"
    with pytest.raises(UserError, match=r"^verdict leaks: only a passed candidate can be promoted$"):
        serving_action("leaks", "accept", retrained=False, complete=True)
    with pytest.raises(UserError, match=r"and of the others one that was audited in full$"):
        serving_action("inconclusive", "accept", retrained=False, complete=False)


def test_what_follows_a_rejection_lets_nothing_serve() -> None:
    assert [rejecting_action(name) for name in ("stronger", "retrain", "person")] == ["stronger", "retrain", "person"]
    for name in SERVING:
        with pytest.raises(UserError, match=f"action {name} lets the candidate serve: promote it"):
            rejecting_action(name)


@pytest.mark.parametrize(
    ("stronger", "on_failure", "on_inconclusive", "problem"),
    [
        (-1, "stop", "stop", "stronger -1 is not possible: input should be greater than or equal to 0"),
        (3, "stop", "stop", "stronger 3 is not possible: input should be less than or equal to 2"),
        (1, "accept", "stop", "on_failure 'accept' is unknown: choose retrain or stop"),
        (
            1,
            "stop",
            "it's",
            'on_inconclusive "it\'s" is unknown: choose retrain, stop, accept, accept_retrained or qualified',
        ),
        (1, "stop", "", "on_inconclusive '' is unknown"),
    ],
)
def test_a_policy_without_meaning_is_refused_in_one_line(
    stronger: int, on_failure: str, on_inconclusive: str, problem: str
) -> None:
    with pytest.raises(UserError) as refused:
        checked(Policy, {"stronger": stronger, "on_failure": on_failure, "on_inconclusive": on_inconclusive})
    assert str(refused.value).startswith(problem)
    assert "\n" not in str(refused.value)


def test_the_attempt_that_follows_is_the_next_setting_or_exact_retraining_or_none() -> None:
    found = {(action, name): next_attempt(action, name) for action in ("promote", "accept", "person", "retrain")
             for name in ATTEMPTS}  # fmt: skip
    assert {action: {found[action, name] for name in ATTEMPTS} for action, _ in found} == {
        "promote": {NO_ATTEMPT}, "accept": {NO_ATTEMPT}, "person": {NO_ATTEMPT}, "retrain": {"retrained"},
    }  # fmt: skip
    assert [next_attempt("stronger", name) for name in ("first", "stronger_1")] == ["stronger_1", "stronger_2"]
    for name in ("stronger_2", "retrained"):
        with pytest.raises(UserError, match=f"no setting is escalated further after the attempt {name}"):
            next_attempt("stronger", name)
    with pytest.raises(UserError, match="attempt 'third' is unknown"):
        next_attempt("promote", "third")


def test_attempts_and_actions_are_known_by_name() -> None:
    assert [attempt_named(name) for name in ATTEMPTS] == list(ATTEMPTS)
    assert [action_named(name) for name in ACTIONS] == list(ACTIONS)
    for call in (attempt_named, action_named):
        with pytest.raises(UserError, match="'roof' is unknown: choose"):
            call("roof")


def test_attempts_have_a_level_and_words() -> None:
    assert [escalation_level(attempt) for attempt in ATTEMPTS] == [0, 1, 2, 0]
    assert [described(attempt) for attempt in ATTEMPTS] == [
        "first setting",
        "escalated setting 1",
        "escalated setting 2",
        "exact retraining",
    ]


def test_the_statement_says_that_nothing_was_shown_and_why() -> None:
    told = accepted_statement(["only 6 forget records were audited", "loss: too few records to tell"])
    assert told.startswith("Accepted although the audit could not tell whether they were forgotten: only 6")
    assert told.endswith("audited; loss: too few records to tell.")
