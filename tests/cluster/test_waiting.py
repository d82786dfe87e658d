from __future__ import annotations

import pytest

from tests.cluster.waiting import Budget, TooLongError
from unlearning.core.errors import UserError


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budget(clock: Clock) -> Budget:
    return Budget(1800, clock, clock.sleep)


def test_it_is_found_as_soon_as_it_is_there(budget: Budget, clock: Clock) -> None:
    assert budget.wait("x", lambda: "there" if clock.now >= 110 else None, limit=60, every=3) == "there"
    assert clock.now == 112


def test_what_was_found_may_be_nothing_much(budget: Budget) -> None:
    assert budget.wait("x", lambda: 0, limit=1) == 0


def test_each_wait_has_its_limit(budget: Budget) -> None:
    with pytest.raises(TooLongError, match=r"the pod: not after 60 s, which is its limit\. still waiting"):
        budget.wait("the pod", lambda: None, limit=60, every=5, state=lambda: "still waiting")
    assert budget.spent == 60


def test_all_waits_have_one_budget(budget: Budget, clock: Clock) -> None:
    clock.now += 1790
    with pytest.raises(TooLongError, match=r"not after 10 s, which is the rest of 30 minutes for everything\.$"):
        budget.wait("the pod", lambda: None, limit=60, every=5)


def test_something_is_looked_for_once_after_the_budget(budget: Budget, clock: Clock) -> None:
    clock.now += 5000
    assert budget.wait("x", lambda: "there", limit=60) == "there"


def test_a_service_that_does_not_answer_is_asked_again(
    budget: Budget, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    def look() -> str:
        if clock.now < 120:
            raise UserError("no answer")
        return "there"

    assert budget.wait("x", look, limit=60, every=5) == "there"
    assert capsys.readouterr().err == "[ 0:00] no answer; asking again\n"


def test_a_service_that_never_answers_is_told(budget: Budget) -> None:
    def look() -> None:
        raise UserError("no answer")

    def state() -> str:
        raise UserError("no answer either")

    with pytest.raises(TooLongError, match=r"x: not after 60 s, which is its limit\. no answer either$"):
        budget.wait("x", look, limit=60, every=5, state=state)


def test_progress_has_the_time(budget: Budget, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    clock.now += 83
    budget.tell("pretraining: Split SUCCEEDED")
    assert capsys.readouterr().err == "[ 1:23] pretraining: Split SUCCEEDED\n"
