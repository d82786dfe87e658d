"""The steps of a run, told from all that Kubeflow's server lists of it."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from google.protobuf import json_format

from pipelines.cluster.progress import ListedNode, RunStep, steps
from pipelines.compile import load

Document = dict[str, Any]


def task(name: str, runs: str, *after: str, **more: Any) -> Document:
    return {"taskInfo": {"name": name}, "componentRef": {"name": runs}, "dependentTasks": list(after), **more}


SPEC: Document = {
    "root": {
        "dag": {
            "tasks": {
                "write": task("Write", "leaf", "condition-branches-1"),
                "decide": task("Decide", "leaf", "models"),
                "condition-branches-1": task("condition-branches-1", "branches", "decide"),
                "models": task("Every model", "loop", "read", parameterIterator={}),
                "read": task("Read", "leaf"),
            }
        }
    },
    "components": {
        "leaf": {"executorLabel": "exec"},
        "loop": {"dag": {"tasks": {"unlearn": task("Unlearn", "leaf")}}},
        "branches": {"dag": {"tasks": {"condition-2": task("passed", "yes"), "condition-3": task("a person", "no")}}},
        "yes": {"dag": {"tasks": {"promote": task("Promote", "leaf")}}},
        "no": {"dag": {"tasks": {"reject": task("Reject", "leaf")}}},
    },
}


def node(name: str, state: str = "SUCCEEDED", seconds: float | None = 1.0, error: str = "") -> ListedNode:
    return ListedNode(name=name, state=state, seconds=seconds, error=error)


def as_listed(*tasks: ListedNode) -> list[ListedNode]:
    """With what the server lists beside them, in no order."""
    found = list(tasks)
    for each in tasks:
        found += [node(f"{each.name}-driver"), node("executor"), node(f"{each.name}(0)", "FAILED", 9, "lost")]
    found += [
        node("root"),
        node("root-driver"),
        node("iteration-item(0)"),
        node("", "", None),
        node("unlearning-x7k2b"),
    ]
    random.Random(len(found)).shuffle(found)  # noqa: S311 - no secret
    return found


def told(found: list[RunStep]) -> list[tuple[int, str, str]]:
    return [(each.depth, each.name, each.state) for each in found]


def test_steps_are_told_by_their_names_in_their_order_and_nothing_else() -> None:
    nodes = as_listed(
        node("write", "PENDING", None),
        node("promote", "RUNNING", 3),
        node("condition-branches-1", "RUNNING"),
        node("condition-2", "RUNNING"),
        node("condition-3", "SKIPPED", None),
        node("decide"),
        node("models"),
        node("unlearn", seconds=4),
        node("unlearn", seconds=7),
        node("read"),
    )
    found = steps({"pipeline_spec": SPEC, "platform_spec": {}}, nodes)
    assert told(found) == [
        (0, "Read", "SUCCEEDED"),
        (0, "Every model", "SUCCEEDED"),
        (1, "Unlearn", "SUCCEEDED"),
        (0, "Decide", "SUCCEEDED"),
        (0, "passed", "RUNNING"),
        (1, "Promote", "RUNNING"),
        (0, "a person", "SKIPPED"),
        (0, "Write", "PENDING"),
    ]
    assert [(each.times, each.seconds) for each in found if each.name == "Unlearn"] == [(2, 7)]
    assert found == steps(SPEC, nodes)


@pytest.mark.parametrize("states", list(itertools.permutations(["SUCCEEDED", "FAILED", "RUNNING"])))
def test_one_round_that_failed_is_what_the_step_says(states: tuple[str, ...]) -> None:
    rounds = [node("unlearn", state, error="out of memory" if state == "FAILED" else "") for state in states]
    (loop, step) = steps(SPEC, as_listed(node("models", "RUNNING"), *rounds))
    assert (loop.name, step.state, step.times, step.error) == ("Every model", "FAILED", 3, "out of memory")


@pytest.mark.parametrize(("state", "shown"), [("", "PENDING"), ("ERROR", "FAILED"), ("OMITTED", "SKIPPED")])
def test_states_are_told_in_one_way(state: str, shown: str) -> None:
    (step,) = steps(SPEC, [node("read", state)])
    assert step.state == shown


def test_what_stands_in_a_branch_that_was_skipped_is_left_out() -> None:
    nodes = [node("condition-branches-1"), node("condition-3", "SKIPPED"), node("reject", "OMITTED")]
    assert told(steps(SPEC, nodes)) == [(0, "a person", "SKIPPED")]


def test_without_a_specification_there_are_no_steps() -> None:
    assert steps({}, [node("read")]) == []


def test_of_a_run_whose_first_attempt_passed_a_screenful_is_left() -> None:
    """The real pipeline, and for each of its tasks five more entries: the list on the server had 136."""
    specification = json_format.MessageToDict(load("unlearning").pipeline_spec)
    reached = ["resolve", "select", "retrain-or-none", "unlearn", "judge", "conclude"]
    found = steps(specification, as_listed(*(node(key) for key in reached), node("condition-1", "SKIPPED", None)))
    assert told(found) == [
        (0, "Resolve model version", "SUCCEEDED"),
        (0, "Select forget set", "SUCCEEDED"),
        (0, "Retrain as reference, or none", "SUCCEEDED"),
        (0, "Unlearn", "SUCCEEDED"),
        (0, "Audit, evaluate and decide", "SUCCEEDED"),
        (0, "Register and report", "SUCCEEDED"),
        (0, "attempt 2", "SKIPPED"),
    ]


def test_attempts_stand_inside_one_another_as_they_follow() -> None:
    specification = json_format.MessageToDict(load("unlearning").pipeline_spec)
    reached = ["unlearn", "judge", "conclude", "condition-1", "unlearn-2", "judge-2"]
    nodes = [*(node(key) for key in reached), node("conclude-2", "FAILED")]
    found = steps(specification, as_listed(*nodes), {"conclude-2": "verdict passed: promote it", "judge": "old news"})
    assert [(each.depth, each.name, each.error) for each in found][-4:] == [
        (0, "attempt 2", ""),
        (1, "Unlearn, attempt 2", ""),
        (1, "Audit, evaluate and decide, attempt 2", ""),
        (1, "Register and report, attempt 2", "verdict passed: promote it"),
    ]
    assert all(not each.error for each in found[:-1]), "what succeeded at another attempt has no reason any more"
