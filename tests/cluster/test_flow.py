"""What is decided in the suite's steps; `test_dry_run.py` takes all of them."""

from __future__ import annotations

import pytest

from pipelines.cluster.progress import RunStep
from pipelines.cluster.status import RunStatus
from tests.cluster.flow import MINUTES, _minutes, _past
from unlearning.core.errors import UserError


def status(state: str, **steps: str) -> RunStatus:
    return RunStatus(
        run_id="r", name="", state=state, error="", tasks=[],
        steps=[RunStep(name=name, depth=0, state=each, times=1, seconds=1, error="") for name, each in steps.items()],
    )  # fmt: skip


@pytest.mark.parametrize("state", ["RUNNING", "SUCCEEDED", "FAILED"])
def test_a_run_is_past_its_first_task_once_that_succeeded(state: str) -> None:
    found = status(state, check="SUCCEEDED", collect="RUNNING")
    assert _past(found, "check") is found


def test_a_run_is_not_past_its_first_task_before() -> None:
    assert _past(status("PENDING"), "check") is None
    assert _past(status("RUNNING", check="RUNNING", other="SUCCEEDED"), "check") is None


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_run_that_failed_at_its_first_task_is_told_with_its_steps(state: str) -> None:
    with pytest.raises(AssertionError, match="check: FAILED"):
        _past(status(state, check="FAILED"), "check")


def test_minutes_are_a_number() -> None:
    assert (_minutes(""), _minutes("45")) == (MINUTES, 45)
    with pytest.raises(UserError, match="UNLEARNING_CLUSTER_MINUTES='long' is not a number"):
        _minutes("long")
