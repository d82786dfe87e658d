from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from pipelines.cluster.doctor.cache import cache
from pipelines.cluster.doctor.folders import FULL, ROOM
from tests.pipelines.kubernetes_server import SPACE, Kubernetes
from unlearning.cluster import names
from unlearning.cluster.client import Cluster

PODS = f"{SPACE}/pods"
SUMMARY = "/api/v1/nodes/a/proxy/stats/summary"


def mounting(kubernetes: Kubernetes, free: int) -> None:
    """A pod that has the cache mounted, on a node that measures so much room."""
    source = client.V1PersistentVolumeClaimVolumeSource(claim_name=names.CACHE)
    volume = client.V1Volume(name="cache", persistent_volume_claim=source)
    spec = client.V1PodSpec(containers=[client.V1Container(name="main")], node_name="a", volumes=[volume])
    pod = client.V1Pod(spec=spec, status=client.V1PodStatus(phase="Running"))
    kubernetes.objects[PODS] = client.V1PodList(items=[pod])
    measured: dict[str, Any] = {"pvcRef": {"name": names.CACHE, "namespace": names.NAMESPACE}}
    kubernetes.objects[SUMMARY] = {
        "pods": [{"volume": [{"name": "tmp"}, measured | {"availableBytes": free, "capacityBytes": 10 * 1024**3}]}]
    }


@pytest.mark.parametrize(
    ("free", "state"), [(ROOM, "ok"), (ROOM - 1, "warning"), (FULL, "warning"), (FULL - 1, "failed"), (0, "failed")]
)
def test_how_full_it_is(kubernetes: Kubernetes, cluster: Cluster, free: int, state: str) -> None:
    mounting(kubernetes, free)
    (finding,) = cache(cluster, names.NAMESPACE)
    assert (finding.state, "of 10 GiB free" in finding.found) == (state, True)
    assert bool(finding.do) is (state != "ok")


def test_what_nobody_has_mounted_nobody_measures(kubernetes: Kubernetes, cluster: Cluster) -> None:
    kubernetes.objects[PODS] = client.V1PodList(items=[])
    (finding,) = cache(cluster, names.NAMESPACE)
    assert (finding.state, "in a pod" in finding.do) == ("unknown", True)


@pytest.mark.parametrize("path", [PODS, SUMMARY])
def test_what_may_not_be_seen_is_no_verdict(kubernetes: Kubernetes, cluster: Cluster, path: str) -> None:
    mounting(kubernetes, 0)
    kubernetes.forbidden.add(path)
    (finding,) = cache(cluster, names.NAMESPACE)
    assert (finding.state, "in a pod" in finding.do) == ("unknown", True)
