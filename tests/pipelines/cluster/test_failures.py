"""Why tasks failed, read from their pods as Kubernetes describes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from pipelines.cluster.failures import LONGEST, NODE, RUN, reasons
from tests.pipelines.kubernetes_server import KUBECONFIG, SPACE, Kubernetes, reached
from unlearning.cluster import names

START = datetime(2026, 11, 30, tzinfo=UTC)
RUN_ID = "run-1"


class Pods(Kubernetes):
    """Pods of one namespace, told a few at a time and by their labels."""

    def __init__(self) -> None:
        super().__init__()
        self.pods: dict[str, list[client.V1Pod]] = {}

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if not path.endswith("/pods"):
            return super().answer(path, query)
        name, _, value = query["labelSelector"].partition("=")
        found = [pod for pod in self.pods.get(path, []) if pod.metadata.labels.get(name) == value]
        start = int(query.get("continue", "0"))
        more = str(start + self.page_size) if start + self.page_size < len(found) else None
        page = found[start : start + self.page_size]
        return 200, client.V1PodList(items=page, metadata=client.V1ListMeta(_continue=more))


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pods]:
    with reached(Pods(), tmp_path, monkeypatch) as running:
        yield running


def pod(
    node: str, *, phase: str = "Failed", ended: Any = None, waits: Any = None, later: int = 0, container: str = "main",
    condition: Any = None, run: str = RUN_ID, message: str | None = None,
) -> client.V1Pod:  # fmt: skip
    state = client.V1ContainerState(terminated=ended, waiting=waits)
    status = client.V1ContainerStatus(name=container, image="i", image_id="", ready=False, restart_count=0, state=state)
    return client.V1Pod(
        metadata=client.V1ObjectMeta(
            name=f"pod-{later}", labels={RUN: run}, annotations={NODE: node},
            creation_timestamp=START + timedelta(seconds=later),
        ),
        status=client.V1PodStatus(
            phase=phase, container_statuses=[status], conditions=[condition] if condition else [], message=message,
            reason="Evicted" if message else None,
        ),
    )  # fmt: skip


def ended(code: int, message: str | None = None) -> client.V1ContainerStateTerminated:
    return client.V1ContainerStateTerminated(exit_code=code, message=message, reason="Error")


IN_TASK = "unlearning-x7k2p.root.resolve.executor(0)"
IN_BRANCH = "unlearning-x7k2p.root.condition-1(0).unlearn-2(0).executor(1)"
IN_LOOP = "compliance-x7k2p.root.for-loop-1.iteration-iterations(0:0).iteration-item(0).fulfil.executor(0)"


@pytest.mark.parametrize(
    ("node", "key"),
    [(IN_TASK, "resolve"), (IN_BRANCH, "unlearn-2"), (IN_LOOP, "fulfil"), ("w.root.select-driver(0)", "select")],
)
def test_the_line_that_a_task_left_is_its_reason(kubernetes: Pods, node: str, key: str) -> None:
    line = "model 'nobody' is not in the registry:\n choose one"
    kubernetes.pods[f"{SPACE}/pods"] = [pod(node, ended=ended(2, line)), pod(IN_TASK, run="another", ended=ended(1))]
    assert reasons(RUN_ID, [names.NAMESPACE]) == {key: "model 'nobody' is not in the registry: choose one"}


def test_the_last_attempt_counts_and_success_has_no_reason(kubernetes: Pods) -> None:
    kubernetes.pods[f"{SPACE}/pods"] = [
        pod(IN_TASK, ended=ended(1, "second"), later=2),
        pod(IN_TASK, ended=ended(1, "first"), later=1),
        pod(IN_BRANCH, phase="Succeeded", ended=ended(0, "fine")),
    ]
    assert reasons(RUN_ID, [names.NAMESPACE]) == {"resolve": "second"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            {"waits": client.V1ContainerStateWaiting(reason="ErrImagePull", message="no such image")},
            "ErrImagePull: no such image",
        ),
        (
            {
                "waits": client.V1ContainerStateWaiting(
                    reason="CreateContainerConfigError", message='secret "unlearning-object-store" not found'
                )
            },
            'CreateContainerConfigError: secret "unlearning-object-store" not found',
        ),
        (
            {
                "condition": client.V1PodCondition(
                    type="PodScheduled", status="False", reason="Unschedulable", message="0/3 nodes have a GPU"
                )
            },
            "Unschedulable: 0/3 nodes have a GPU",
        ),
    ],
)
def test_a_pod_that_cannot_start_says_what_it_waits_for(kubernetes: Pods, given: dict[str, Any], reason: str) -> None:
    kubernetes.pods[f"{SPACE}/pods"] = [pod(IN_TASK, phase="Pending", **given)]
    assert reasons(RUN_ID, [names.NAMESPACE]) == {"resolve": reason}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"ended": ended(137)}, "Error (exit code 137)"),
        ({"ended": ended(1, "x" * 2 * LONGEST)}, "x" * LONGEST),
        ({"message": "the node was low on memory"}, "Evicted: the node was low on memory"),
        ({"container": "wait", "ended": ended(64, "cannot save")}, "cannot save"),
    ],
)
def test_without_a_line_kubernetes_says_what_it_knows(kubernetes: Pods, given: dict[str, Any], reason: str) -> None:
    kubernetes.pods[f"{SPACE}/pods"] = [pod(IN_TASK, **given)]
    assert reasons(RUN_ID, [names.NAMESPACE]) == {"resolve": reason}


def test_the_first_namespace_that_has_pods_of_the_run_is_looked_at(kubernetes: Pods) -> None:
    kubernetes.pods["/api/v1/namespaces/kubeflow/pods"] = [
        pod(node, ended=ended(2, str(later)), later=later)
        for later, node in enumerate((IN_TASK, IN_BRANCH, IN_LOOP, "w.root.split.executor"))
    ]
    found = reasons(RUN_ID, [names.NAMESPACE, "kubeflow"])
    assert found == {"resolve": "0", "unlearn-2": "1", "fulfil": "2", "split": "3"}, "over both pages"


def test_where_nobody_lets_us_look_there_are_no_reasons(
    kubernetes: Pods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubernetes.pods[f"{SPACE}/pods"] = [pod(IN_TASK, ended=ended(2, "line"))]
    kubernetes.forbidden = {f"{SPACE}/pods"}
    assert reasons(RUN_ID, [names.NAMESPACE]) == {}
    kubernetes.forbidden, kubernetes.broken = set(), True
    assert reasons(RUN_ID, []) == {}
    monkeypatch.setattr(KUBECONFIG, str(tmp_path / "nothing"))
    assert reasons(RUN_ID, [names.NAMESPACE]) == {}
