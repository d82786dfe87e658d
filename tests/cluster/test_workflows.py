from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client

from pipelines.cluster import packages
from tests.cluster.workflows import (
    NODE_NAME,
    PipelineTask,
    TaskPath,
    done_again,
    first_task,
    lasted,
    lost,
    nodes_of,
    pod_count,
    task_path,
    task_pod,
    tasks_of,
    wanted_tasks,
)  # fmt: skip

SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

# Names as Argo gives them: plainly, with the stock retry of every template, and in a loop.
NODES: dict[str, TaskPath] = {
    "pretraining-x7k2b.root.ingest.executor": ("ingest",),
    "pretraining-x7k2b(0).root(0).ingest(0).executor(1)": ("ingest",),
    "p-1.root.for-loop-1.iteration-iterations(3:3).iteration-item.references.executor(0)": ("for-loop-1", "references"),
    "c-1.root.exit-handler-1.honour.for-loop-1.iteration-iterations(0:0).iteration-item.fulfil.executor": (
        "exit-handler-1", "honour", "for-loop-1", "fulfil",
    ),
}  # fmt: skip


@pytest.mark.parametrize("node", NODES)
def test_a_node_of_a_task_tells_where_the_task_stands(node: str) -> None:
    assert task_path(node) == NODES[node]


@pytest.mark.parametrize(
    "node",
    ["", "p-1", "p-1.root-driver", "p-1.root.ingest-driver", "p-1.root.ingest", "p-1.root.executor",
     "p-1.root.for-loop-1.iteration-driver"],
)  # fmt: skip
def test_other_nodes_are_none_of_a_task(node: str) -> None:
    assert task_path(node) == ()


def task(runs: str, name: str = "", cached: bool = False, **more: Any) -> dict[str, Any]:
    return {
        "componentRef": {"name": runs},
        "taskInfo": {"name": name},
        "cachingOptions": {"enableCache": cached},
    } | more


def given(**channels: Any) -> dict[str, Any]:
    """Inputs of a task that has one of a kind."""
    return {kind: {"a": channel} for kind, channel in channels.items()}


SPEC: dict[str, Any] = {
    "deploymentSpec": {
        "executors": {"exec": {"container": {}}, "gpu": {"container": {"resources": {"accelerator": {"count": "1"}}}}}
    },
    "root": {
        "dag": {
            "tasks": {
                "last": task("leaf", "Release", dependentTasks=["handler"]),
                "handler": task("group", "batch"),
            }
        }
    },
    "components": {
        "leaf": {"executorLabel": "exec"},
        "learn": {"executorLabel": "gpu"},
        "group": {
            "dag": {
                "tasks": {
                    "work": task("learn", "Work", True, inputs=given(artifacts={"taskOutputArtifact": {}})),
                    "name": task("leaf", "Check and name", inputs=given(parameters={"componentInputParameter": "b"})),
                    "more": task("leaf", inputs=given(parameters={"taskOutputParameter": {}})),
                }
            }
        },
    },
}


def test_tasks_of_a_pipeline_with_what_is_pure_and_what_comes_first() -> None:
    assert {each.path: (each.name, each.pure, each.first) for each in tasks_of(SPEC)} == {
        ("last",): ("Release", False, False),
        ("handler", "work"): ("Work", True, False),
        ("handler", "name"): ("Check and name", False, True),
        ("handler", "more"): ("more", False, False),
    }
    assert [each.name for each in tasks_of(SPEC) if each.on_gpu] == ["Work"]
    assert first_task(SPEC).name == "Check and name"


def test_tasks_that_are_wanted() -> None:
    def names(found: list[PipelineTask]) -> set[str]:
        return {each.name for each in found}

    assert names(wanted_tasks(SPEC, pure=True)) == {"Work"}
    assert names(wanted_tasks(SPEC, pure=False, preferred=["check", "certify"])) == {"Check and name"}
    assert names(wanted_tasks(SPEC, pure=False, preferred=["nothing"])) == {"Release", "Check and name", "more"}


@pytest.mark.parametrize("pipeline", ["pretraining", pytest.param("compliance", marks=pytest.mark.slow)])
def test_our_pipelines_have_what_the_suite_looks_for(pipeline: str) -> None:
    spec = packages.compiled(pipeline).spec
    assert first_task(spec).path
    for pure in (True, False):
        assert wanted_tasks(spec, pure=pure)
    assert any(each.on_gpu for each in tasks_of(spec))


def pod(node: str, *, state: str = "running", deleted: bool = False, limits: dict[str, str] | None = None) -> Any:
    states = {
        "running": client.V1ContainerState(running=client.V1ContainerStateRunning(started_at=SINCE)),
        "waiting": client.V1ContainerState(waiting=client.V1ContainerStateWaiting(reason="PodInitializing")),
        "terminated": client.V1ContainerState(terminated=client.V1ContainerStateTerminated(exit_code=0)),
    }
    told = client.V1ContainerStatus(
        name="main", state=states.get(state), image="i", image_id="i", ready=True, restart_count=0
    )
    resources = client.V1ResourceRequirements(limits=limits)
    return client.V1Pod(
        metadata=client.V1ObjectMeta(
            name="a-pod", annotations={NODE_NAME: node}, deletion_timestamp=SINCE if deleted else None
        ),
        spec=client.V1PodSpec(
            containers=[
                client.V1Container(name="wait", resources=client.V1ResourceRequirements(limits={"cpu": "9"})),
                client.V1Container(name="main", resources=resources),
            ]
        ),
        status=client.V1PodStatus(container_statuses=[told] if state != "none" else None),
    )


def test_the_pod_of_a_task_that_runs() -> None:
    found = task_pod(pod("p-1.root.ingest.executor", limits={"nvidia.com/gpu": "1"}))
    assert found is not None
    assert (found.path, found.running_since, found.limits) == (("ingest",), SINCE, {"nvidia.com/gpu": "1"})


@pytest.mark.parametrize("state", [{"state": each} for each in ("waiting", "terminated", "none")] + [{"deleted": True}])
def test_a_pod_whose_container_does_not_run(state: dict[str, Any]) -> None:
    found = task_pod(pod("p-1.root.ingest.executor", **state))
    assert found is not None
    assert found.running_since is None
    assert found.limits == {}


def test_the_pod_of_a_driver_is_none_of_a_task() -> None:
    assert task_pod(pod("p-1.root.ingest-driver")) is None


LOST = "p-1.root.ingest.executor(0)"
AGAIN = "p-1.root.ingest.executor(1)"


def workflow(**nodes: Any) -> dict[str, Any]:
    return {"status": {"nodes": nodes}}


def attempt(name: str, phase: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"type": "Pod", "name": name, "phase": phase, "message": message, "startedAt": "2026-01-01"} | more


def test_an_attempt_that_was_lost_and_done_again() -> None:
    found = workflow(
        a=attempt(LOST, "Error", "pod deleted"), b=attempt(AGAIN, "Succeeded"),
        c={"type": "Retry", "name": "p-1.root.ingest.executor", "phase": "Succeeded"},
    )  # fmt: skip
    assert lost(found, LOST)
    assert done_again(found, LOST)
    assert not lost(found, AGAIN)
    assert pod_count(found) == 2


def test_an_attempt_that_was_over_before_its_pod_was_deleted() -> None:
    found = workflow(a=attempt(LOST, "Succeeded"))
    assert not lost(found, LOST)
    assert not done_again(found, LOST)


def test_another_task_is_no_second_attempt() -> None:
    other = "p-1.root.ingest-2.executor(1)"
    assert not done_again(workflow(a=attempt(LOST, "Error", "pod deleted"), b=attempt(other, "Succeeded")), LOST)


def test_a_pod_that_never_started_is_not_counted() -> None:
    never = {"type": "Pod", "name": "x", "phase": "Omitted"}
    assert pod_count(workflow(a=attempt(LOST, "Succeeded"), b=never, c={"type": "DAG", "startedAt": "x"})) == 1


def test_nodes_are_read_as_they_are_and_compressed() -> None:
    nodes = {"a": attempt(LOST, "Succeeded")}
    packed = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
    assert nodes_of({"status": {"compressedNodes": packed}}) == nodes_of(workflow(**nodes)) == nodes
    assert nodes_of({}) == {}


def test_how_long_a_workflow_lasted() -> None:
    times = {"startedAt": "2026-01-01T23:59:30Z", "finishedAt": "2026-01-02T00:01:00Z"}
    assert lasted({"status": times}) == 90
    assert lasted({"status": times | {"finishedAt": None}}) is None
    assert lasted({}) is None


def test_nodes_in_a_database_are_told() -> None:
    with pytest.raises(ValueError, match="nodeStatusOffLoad"):
        nodes_of({"status": {"offloadNodeStatusVersion": "fnv:1"}})
