"""What a run's tasks look like to whoever wrote the pipeline: its steps by their own names, once each.

Kubeflow's server lists every node of Argo's workflow: beside the tasks themselves their drivers, what an executor ran,
the rounds of loops, every attempt, and tasks without a name that drivers make for the cache. The steps, their names and
how they are nested stand in the run's specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

FAILED, RUNNING, DONE, SKIPPED, WAITING = "FAILED", "RUNNING", "SUCCEEDED", "SKIPPED", "PENDING"
_ORDER = (FAILED, "CANCELED", "CANCELING", RUNNING, WAITING, DONE, SKIPPED)
"""Of several nodes of one step the first of these tells how it stands."""

_STATES = {"ERROR": FAILED, "OMITTED": SKIPPED, "CACHED": DONE, "": WAITING, "RUNTIME_STATE_UNSPECIFIED": WAITING}
_ATTEMPT = re.compile(r"\(\d+(?::.*)?\)$")
"""What Argo adds to the name of an attempt, or of a round of a loop."""


class ListedNode(BaseModel):
    """One entry of the server's list."""

    name: str
    """Empty where the server gives none."""
    state: str
    seconds: float | None
    error: str


class RunStep(BaseModel):
    """One step of the pipeline."""

    name: str
    """For people."""
    depth: int
    """How many loops, branches and inner pipelines it stands in."""
    state: str
    times: int
    """How often it ran, or runs: more than once in a loop."""
    seconds: float | None
    """Of the longest; None before it starts."""
    error: str


def steps(
    specification: Mapping[str, Any], nodes: Iterable[ListedNode], reasons: Mapping[str, str] | None = None
) -> list[RunStep]:
    """The steps that were reached or skipped, in the order in which they depend on each other; what stands in a branch
    that was skipped is left out.

    Args:
        specification: a compiled pipeline, alone or with its Kubernetes settings; without one there are no steps.
        nodes: all that the server lists.
        reasons: by the task's key, why it failed or does not start, where the server does not say.
    """
    found: dict[str, list[ListedNode]] = {}
    for node in nodes:
        if node.name and not _ATTEMPT.search(node.name):
            found.setdefault(node.name, []).append(node)
    spec = specification.get("pipeline_spec", specification)
    return list(_below(spec.get("root", {}), spec.get("components", {}), found, reasons or {}, 0))


def _below(
    component: Mapping[str, Any],
    components: Mapping[str, Any],
    found: Mapping[str, list[ListedNode]],
    reasons: Mapping[str, str],
    depth: int,
) -> Iterator[RunStep]:
    tasks = component.get("dag", {}).get("tasks", {})
    for key in _in_order(tasks):
        nodes = found.get(key, [])
        if not nodes:
            continue
        task = tasks[key]
        inner = components.get(task.get("componentRef", {}).get("name", ""), {})
        name = str(task.get("taskInfo", {}).get("name") or key)
        step = _step(name, depth, nodes, reasons.get(key, ""))
        group = "dag" in inner and name == key and "parameterIterator" not in task
        if not group:  # what holds the branches of one decision has no name of its own
            yield step
        if step.state != SKIPPED:
            yield from _below(inner, components, found, reasons, depth if group else depth + 1)


def _step(name: str, depth: int, nodes: Sequence[ListedNode], reason: str) -> RunStep:
    states = [_STATES.get(node.state, node.state) for node in nodes]
    state = min(states, key=lambda each: _ORDER.index(each) if each in _ORDER else 0)
    took = [node.seconds for node in nodes if node.seconds is not None]
    errors = [reason] if reason and state not in (DONE, SKIPPED) else [node.error for node in nodes if node.error]
    return RunStep(
        name=name, depth=depth, state=state, times=len(nodes), seconds=max(took, default=None),
        error=errors[0] if errors else "",
    )  # fmt: skip


def _in_order(tasks: Mapping[str, Any]) -> list[str]:
    """Keys of a DAG's tasks, each after those that it depends on, otherwise by name."""
    left, done = dict(sorted(tasks.items())), list[str]()
    while left:
        ready = [key for key, task in left.items() if not {*needed(task)} & left.keys() - {key}]
        done += ready or list(left)  # a circle is for Kubeflow to refuse
        left = {key: task for key, task in left.items() if key not in done}
    return done


def needed(task: Mapping[str, Any]) -> Iterator[str]:
    """Keys of the tasks that a task comes after: those named, and those that make what it is handed."""
    yield from task.get("dependentTasks", [])
    inputs = task.get("inputs", {})
    for kind, output in (("parameters", "taskOutputParameter"), ("artifacts", "taskOutputArtifact")):
        yield from (each[output]["producerTask"] for each in inputs.get(kind, {}).values() if output in each)
