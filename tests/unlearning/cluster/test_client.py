"""Read against a Kubernetes API on localhost that answers with the official client's models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from tests.pipelines.kubernetes_server import KUBECONFIG, Kubernetes, node, reached, write_kubeconfig
from unlearning.cluster.client import Cluster, Node, Quota, Room
from unlearning.core.errors import ForbiddenError, MissingObjectError, NotConfiguredError, UserError


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubernetes]:
    with reached(Kubernetes(), tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def cluster(kubernetes: Kubernetes) -> Cluster:
    assert kubernetes, "the kubeconfig leads there"
    return Cluster()


def test_nodes_are_read_over_all_pages(kubernetes: Kubernetes, cluster: Cluster) -> None:
    kubernetes.nodes = [
        node("a"), node("b", 8, product="A100", taints=("nvidia.com/gpu",)), node("c", 4, ready=False),
        node("d", 1), node("e"),
    ]  # fmt: skip
    found = cluster.nodes()
    assert [each.name for each in found] == ["a", "b", "c", "d", "e"]
    assert found[1] == Node("b", ready=True, gpus=8, gpu_type="A100", taints=("nvidia.com/gpu",))
    assert [each.gpus for each in found] == [0, 8, 4, 1, 0]
    assert not found[2].ready
    assert len(kubernetes.asked) == 3


def test_a_node_that_takes_no_pods_is_not_ready(kubernetes: Kubernetes, cluster: Cluster) -> None:
    cordoned = node("a", 1)
    cordoned.spec.unschedulable = True
    kubernetes.nodes = [cordoned]
    assert not cluster.nodes()[0].ready


def test_quotas_are_numbers(kubernetes: Kubernetes, cluster: Cluster) -> None:
    status = client.V1ResourceQuotaStatus(
        hard={"requests.nvidia.com/gpu": "4", "limits.memory": "2Gi", "requests.cpu": "500m"},
        used={"requests.nvidia.com/gpu": "1", "limits.memory": "512Mi"},
    )
    quota = client.V1ResourceQuota(metadata=client.V1ObjectMeta(name="q"), status=status)
    kubernetes.objects["/api/v1/namespaces/n/resourcequotas"] = client.V1ResourceQuotaList(items=[quota])
    assert {each.resource: each for each in cluster.quotas("n")} == {
        "requests.nvidia.com/gpu": Quota("q", "requests.nvidia.com/gpu", 4, 1),
        "limits.memory": Quota("q", "limits.memory", 2 * 1024**3, 512 * 1024**2),
        "requests.cpu": Quota("q", "requests.cpu", 0.5, 0),
    }


def test_of_a_secret_only_sizes_are_kept(kubernetes: Kubernetes, cluster: Cluster) -> None:
    kubernetes.objects["/api/v1/namespaces/n/secrets/s"] = client.V1Secret(data={"full": "c2VjcmV0", "empty": ""})
    assert cluster.secret_sizes("n", "s") == {"full": 8, "empty": 0}


def test_what_is_read_is_what_is_there(kubernetes: Kubernetes, cluster: Cluster) -> None:
    meta = client.V1ObjectMeta(name="x", labels={"a": "b"}, annotations={"role": "r"})
    claim = client.V1PersistentVolumeClaim(
        spec=client.V1PersistentVolumeClaimSpec(access_modes=["ReadWriteMany"]),
        status=client.V1PersistentVolumeClaimStatus(phase="Bound"),
    )
    kubernetes.objects |= {
        "/api/v1/namespaces/n": client.V1Namespace(metadata=meta),
        "/api/v1/namespaces/n/configmaps/x": client.V1ConfigMap(data={"key": "value"}),
        "/api/v1/namespaces/n/persistentvolumeclaims/x": claim,
        "/api/v1/namespaces/n/serviceaccounts/x": client.V1ServiceAccount(metadata=meta),
    }
    assert cluster.namespace("n") == {"a": "b"}
    assert cluster.config_map("n", "x") == {"key": "value"}
    assert cluster.claim("n", "x") == ("Bound", ("ReadWriteMany",))
    assert cluster.service_account("n", "x") == {"role": "r"}


def test_images_are_known_by_all_their_names(kubernetes: Kubernetes, cluster: Cluster) -> None:
    holding = node("a")
    holding.status.images = [
        client.V1ContainerImage(names=["r.io/a@sha256:00", "r.io/a:1"], size_bytes=1),
        client.V1ContainerImage(names=None),
    ]
    kubernetes.nodes = [holding, node("b")]
    assert [each.images for each in cluster.nodes()] == [frozenset({"r.io/a@sha256:00", "r.io/a:1"}), frozenset()]


def test_ports_of_a_service(kubernetes: Kubernetes, cluster: Cluster) -> None:
    ports = [client.V1ServicePort(name="http", port=8888), client.V1ServicePort(port=8887)]
    kubernetes.objects["/api/v1/namespaces/n/services/x"] = client.V1Service(spec=client.V1ServiceSpec(ports=ports))
    assert cluster.service("n", "x") == {"http": 8888, "8887": 8887}
    with pytest.raises(MissingObjectError, match="there is no Service y in n"):
        cluster.service("n", "y")


def pod(where: str, *claims: str) -> client.V1Pod:
    sources = [client.V1PersistentVolumeClaimVolumeSource(claim_name=each) for each in claims]
    volumes = [client.V1Volume(name=each.claim_name, persistent_volume_claim=each) for each in sources]
    volumes.append(client.V1Volume(name="tmp", empty_dir=client.V1EmptyDirVolumeSource()))
    spec = client.V1PodSpec(containers=[client.V1Container(name="main")], node_name=where, volumes=volumes)
    return client.V1Pod(spec=spec, status=client.V1PodStatus(phase="Running"))


def measured(claim: str, free: int, space: str = "n") -> dict[str, object]:
    return {"pvcRef": {"name": claim, "namespace": space}, "availableBytes": free, "capacityBytes": 10}


def test_room_is_asked_of_a_node_that_has_the_claim_mounted(kubernetes: Kubernetes, cluster: Cluster) -> None:
    pods = client.V1PodList(items=[pod("a", "other"), pod("b", "other", "x"), pod("c", "x")])
    kubernetes.objects["/api/v1/namespaces/n/pods"] = pods
    # Node b does not measure this kind of volume, and knows one of the same name in another namespace.
    kubernetes.objects["/api/v1/nodes/b/proxy/stats/summary"] = {
        "pods": [{"volume": [measured("x", 1, "m"), {"pvcRef": {"name": "x", "namespace": "n"}}]}, {}]
    }
    kubernetes.objects["/api/v1/nodes/c/proxy/stats/summary"] = {"pods": [{"volume": [measured("x", 4)]}]}
    assert cluster.room("n", "x") == Room(free=4, size=10)
    assert cluster.room("n", "y") is None
    assert "/api/v1/nodes/a/proxy/stats/summary" not in [path for _, path in kubernetes.asked]


def test_nobody_measures_what_nobody_may_ask_for(kubernetes: Kubernetes, cluster: Cluster) -> None:
    kubernetes.objects["/api/v1/namespaces/n/pods"] = client.V1PodList(items=[pod("a", "x")])
    kubernetes.forbidden.add("/api/v1/nodes/a/proxy")
    with pytest.raises(ForbiddenError, match="may not read statistics of node a"):
        cluster.room("n", "x")


def test_nothing_but_reading_is_asked_for(kubernetes: Kubernetes, cluster: Cluster) -> None:
    cluster.nodes()
    assert {method for method, _ in kubernetes.asked} == {"GET"}


def test_what_is_missing_forbidden_or_broken_differ(kubernetes: Kubernetes, cluster: Cluster) -> None:
    with pytest.raises(MissingObjectError, match="there is no ConfigMap x in n"):
        cluster.config_map("n", "x")
    kubernetes.forbidden.add("/api/v1/namespaces/n/secrets")
    with pytest.raises(ForbiddenError, match="may not look at Secret x in n"):
        cluster.secret_sizes("n", "x")
    kubernetes.broken = True
    with pytest.raises(UserError, match="status 500") as broken:
        cluster.nodes()
    assert not isinstance(broken.value, MissingObjectError | ForbiddenError)


def test_credentials_that_are_not_valid_are_said_to_be(
    kubernetes: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kubeconfig(tmp_path / "config", kubernetes.url, token="other")  # noqa: S106 - of nobody
    monkeypatch.setattr(KUBECONFIG, str(tmp_path / "config"))
    with pytest.raises(UserError, match=r"status 401 .*the credentials are not valid"):
        Cluster().nodes()


def test_a_cluster_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_kubeconfig(tmp_path / "config", "http://127.0.0.1:9")
    monkeypatch.setattr(KUBECONFIG, str(tmp_path / "config"))
    with pytest.raises(UserError, match=r"http://127.0.0.1:9 does not answer"):
        Cluster().nodes()


def test_no_cluster_at_all_and_no_such_context(
    kubernetes: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(KUBECONFIG, str(tmp_path / "config"))
    with pytest.raises(NotConfiguredError):
        Cluster()
    write_kubeconfig(tmp_path / "config", kubernetes.url)
    with pytest.raises(UserError, match=r"kubeconfig: .*other"):
        Cluster("other")
