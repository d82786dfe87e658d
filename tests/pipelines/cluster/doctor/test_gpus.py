from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from pipelines.cluster.doctor.gpus import gpus
from tests.pipelines.kubernetes_server import SPACE, Kubernetes, node
from unlearning.cluster import names
from unlearning.cluster.client import Cluster

TAINT = ("nvidia.com/gpu",)


def states(cluster: Cluster, wanted: int) -> list[str]:
    return [each.state for each in gpus(cluster, names.NAMESPACE, wanted)]


@pytest.mark.parametrize(
    ("nodes", "wanted", "expected"),
    [
        ([node("a", 1)], 1, "ok"),
        ([node("a", 1, taints=TAINT)], 1, "ok"),
        ([node("a"), node("b"), node("c", 8)], 8, "ok"),
        ([], 1, "failed"),
        ([node("a")], 1, "failed"),
        ([node("a", 1), node("b", 1)], 2, "failed"),
        ([node("a", 1, ready=False)], 1, "failed"),
        ([node("a", 1, taints=("team-b",))], 1, "failed"),
    ],
)
def test_one_node_must_have_them_all(
    kubernetes: Kubernetes, cluster: Cluster, nodes: list[Any], wanted: int, expected: str
) -> None:
    kubernetes.nodes = nodes
    assert states(cluster, wanted) == [expected, "ok"]


@pytest.mark.parametrize(
    ("hard", "used", "expected"), [("4", "0", "ok"), ("4", "2", "ok"), ("4", "3", "warning"), ("1", "0", "failed")]
)
def test_a_quota_must_leave_room(kubernetes: Kubernetes, cluster: Cluster, hard: str, used: str, expected: str) -> None:
    kubernetes.nodes = [node("a", 8)]
    key = "requests.nvidia.com/gpu"
    status = client.V1ResourceQuotaStatus(hard={key: hard, "pods": "1"}, used={key: used, "pods": "1"})
    quota = client.V1ResourceQuota(metadata=client.V1ObjectMeta(name="q"), status=status)
    kubernetes.objects[f"{SPACE}/resourcequotas"] = client.V1ResourceQuotaList(items=[quota])
    assert states(cluster, 2) == ["ok", expected]


@pytest.mark.parametrize(
    ("counts", "wanted", "pods", "expected"),
    [
        ([1, 1], 1, 2, "ok"),
        ([8], 4, 2, "ok"),
        ([8, 4], 4, 3, "ok"),
        ([4], 4, 2, "failed"),
        ([7], 4, 2, "failed"),
        ([3, 3], 4, 2, "failed"),
    ],
)
def test_all_pods_of_a_training_must_fit(
    kubernetes: Kubernetes, cluster: Cluster, counts: list[int], wanted: int, pods: int, expected: str
) -> None:
    kubernetes.nodes = [node(f"n{number}", count) for number, count in enumerate(counts)]
    key = "requests.nvidia.com/gpu"
    status = client.V1ResourceQuotaStatus(hard={key: "7"}, used={key: "0"})
    quota = client.V1ResourceQuota(metadata=client.V1ObjectMeta(name="q"), status=status)
    kubernetes.objects[f"{SPACE}/resourcequotas"] = client.V1ResourceQuotaList(items=[quota])
    nodes, limit = gpus(cluster, names.NAMESPACE, wanted, pods)
    assert nodes.state == expected
    assert limit.state == ("ok" if wanted * pods <= 7 else "failed")


def test_none_asked_for_needs_no_permission(kubernetes: Kubernetes, cluster: Cluster) -> None:
    assert states(cluster, 0) == ["ok"]
    assert kubernetes.asked == []


def test_what_may_not_be_seen_is_no_verdict(kubernetes: Kubernetes, cluster: Cluster) -> None:
    kubernetes.forbidden |= {"/api/v1/nodes", f"{SPACE}/resourcequotas"}
    assert states(cluster, 1) == ["unknown", "unknown"]


def test_the_kinds_of_gpu_are_counted(kubernetes: Kubernetes, cluster: Cluster) -> None:
    kubernetes.nodes = [node("a", 8, product="H100"), node("b", 8, product="H100"), node("c", 4)]
    found = next(iter(gpus(cluster, names.NAMESPACE, 2))).found
    assert found.endswith("2 × H100, 1 × unnamed")
