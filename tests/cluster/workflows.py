"""What Argo's objects and a compiled pipeline say: tasks, their pods, attempts that were lost, the size that is stored.

Argo names a node after its place: `pretraining-x7k2b.root.for-loop-1.iteration-iterations(0:0).iteration-item.
references.executor(1)` is the second attempt of the task `references` in the first round of a loop. The pod of a node
carries that name as an annotation.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

WORKFLOW_LABEL = "workflows.argoproj.io/workflow"
NODE_NAME = "workflows.argoproj.io/node-name"
RUN_LABEL = "pipeline/runid"
"""Label of the workflow of a run of Kubeflow Pipelines."""

LARGEST = 1024 * 1024
"""Bytes of a workflow that Argo and etcd store."""

EXECUTOR = "executor"
MAIN = "main"
"""The container of a task's pod that runs the task."""

_ATTEMPT = re.compile(r"\([^)]*\)")
_ROUNDS = {"iteration-iterations", "iteration-item"}

TaskPath = tuple[str, ...]
"""Keys of a task and of the loops, branches and inner pipelines around it, the outermost first."""


@dataclass(frozen=True)
class PipelineTask:
    """A task of a compiled pipeline that runs a container."""

    path: TaskPath
    name: str
    """For people."""
    pure: bool
    """Whether it may come from the cache."""
    first: bool
    """Nothing need be done before it."""
    on_gpu: bool
    """Whether it asks for GPUs, where the run's parameter says how many."""


def tasks_of(spec: Mapping[str, Any]) -> list[PipelineTask]:
    """Every task of a compiled pipeline that runs a container."""
    return list(_below(spec, spec["root"], (), True))


def _below(spec: Mapping[str, Any], part: Mapping[str, Any], path: TaskPath, first: bool) -> Iterator[PipelineTask]:
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    for key, task in part.get("dag", {}).get("tasks", {}).items():
        component = spec.get("components", {}).get(task["componentRef"]["name"], {})
        alone = first and not _waits(task)
        if "dag" in component:
            yield from _below(spec, component, (*path, key), alone)
        else:
            pure = bool(task.get("cachingOptions", {}).get("enableCache"))
            name = str(task.get("taskInfo", {}).get("name") or key)
            container = executors.get(component.get("executorLabel"), {}).get("container", {})
            on_gpu = "accelerator" in container.get("resources", {})
            yield PipelineTask(path=(*path, key), name=name, pure=pure, first=alone, on_gpu=on_gpu)


def _waits(task: Mapping[str, Any]) -> bool:
    inputs = task.get("inputs", {})
    given = (*inputs.get("parameters", {}).values(), *inputs.get("artifacts", {}).values())
    produced = any("taskOutputParameter" in each or "taskOutputArtifact" in each for each in given)
    return produced or bool(task.get("dependentTasks"))


def first_task(spec: Mapping[str, Any]) -> PipelineTask:
    """The task that a run begins with, by name where it begins with several."""
    return min((each for each in tasks_of(spec) if each.first), key=lambda each: each.name)


def wanted_tasks(spec: Mapping[str, Any], *, pure: bool, preferred: Sequence[str] = ()) -> list[PipelineTask]:
    """The tasks that are pure, or those that are not; of them those that are preferred, where there are any.

    Args:
        preferred: words, one of which a task's name begins with, in small letters.
    """
    found = [each for each in tasks_of(spec) if each.pure is pure]
    return [each for each in found if each.name.lower().startswith(tuple(preferred))] or found


def task_path(node_name: str) -> TaskPath:
    """The task that a node of Argo runs; empty where the node is none of a task, such as a driver."""
    _, *parts = _ATTEMPT.sub("", node_name).split(".")
    if len(parts) < 3 or parts[0] != "root" or parts[-1] != EXECUTOR:
        return ()
    return tuple(part for part in parts[1:-1] if part not in _ROUNDS)


@dataclass(frozen=True)
class TaskPod:
    """The pod of an attempt of a task."""

    name: str
    node: str
    """Its node in the workflow, which tells the attempt."""
    path: TaskPath
    running_since: datetime | None
    """When the task's container began; None before it runs and after it has ended."""
    limits: Mapping[str, str]
    """Of the task's container."""


def task_pod(pod: Any) -> TaskPod | None:
    """A pod of Kubernetes as the pod of a task; None where it is another, such as a driver's."""
    node = (pod.metadata.annotations or {}).get(NODE_NAME, "")
    path = task_path(node)
    if not path:
        return None
    main = next((each for each in pod.spec.containers if each.name == MAIN), None)
    states = {each.name: each.state for each in (pod.status.container_statuses or ())} if pod.status else {}
    running = states[MAIN].running if states.get(MAIN) else None
    gone = pod.metadata.deletion_timestamp is not None
    limits = main.resources.limits if main is not None and main.resources else None
    return TaskPod(
        name=pod.metadata.name, node=node, path=path, limits=dict(limits or {}),
        running_since=running.started_at if running is not None and not gone else None,
    )  # fmt: skip


def nodes_of(workflow: Mapping[str, Any]) -> dict[str, Any]:
    """The nodes of a workflow by id; Argo compresses them where they grow large.

    Raises:
        ValueError: they are kept in a database, which this cannot read.
    """
    status = workflow.get("status", {})
    if status.get("offloadNodeStatusVersion"):
        raise ValueError("the nodes of the workflow are kept in Argo's database: switch nodeStatusOffLoad off")
    if packed := status.get("compressedNodes"):
        found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed)))
        return found
    return dict(status.get("nodes") or {})


def pod_count(workflow: Mapping[str, Any]) -> int:
    """Pods that a workflow started, drivers and lost attempts among them."""
    return sum(node.get("type") == "Pod" and "startedAt" in node for node in nodes_of(workflow).values())


def lasted(workflow: Mapping[str, Any]) -> float | None:
    """Seconds from the beginning of a workflow to its end; None before that."""
    status = workflow.get("status", {})
    begin, end = status.get("startedAt"), status.get("finishedAt")
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds() if begin and end else None


def lost(workflow: Mapping[str, Any], node_name: str) -> bool:
    """Whether Argo counted an attempt as lost with its pod."""
    return any(
        node.get("phase") == "Error" and "deleted" in node.get("message", "")
        for node in nodes_of(workflow).values()
        if node.get("type") == "Pod" and node.get("name") == node_name
    )


def done_again(workflow: Mapping[str, Any], node_name: str) -> bool:
    """Whether another attempt of the same node succeeded."""
    return any(
        node.get("type") == "Pod" and node.get("phase") == "Succeeded" and node["name"] != node_name
        for node in nodes_of(workflow).values()
        if _without_last_attempt(node.get("name", "")) == _without_last_attempt(node_name)
    )


def _without_last_attempt(node_name: str) -> str:
    return re.sub(r"\(\d+\)$", "", node_name)
