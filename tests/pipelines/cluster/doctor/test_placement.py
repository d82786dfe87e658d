from __future__ import annotations

from pathlib import Path

import pytest
from kubernetes import client

from pipelines.cluster.client import Endpoint
from pipelines.cluster.doctor.placement import namespace_of_runs, placement, several_users
from tests.pipelines.kfp_server import Kubeflow
from tests.pipelines.kubernetes_server import SPACE, Kubernetes
from unlearning.cluster import names
from unlearning.cluster.client import Cluster

API_SERVICE = "/api/v1/namespaces/kubeflow/services/ml-pipeline"


@pytest.fixture
def single(kubernetes: Kubernetes) -> Kubernetes:
    """A cluster whose Kubeflow, with a single user, is in `kubeflow`."""
    ports = [client.V1ServicePort(name="http", port=8888)]
    kubernetes.objects[API_SERVICE] = client.V1Service(spec=client.V1ServiceSpec(ports=ports))
    return kubernetes


@pytest.mark.parametrize("several", [False, True])
def test_the_server_tells_its_kind(kubeflow: Kubeflow, tmp_path: Path, several: bool) -> None:
    (tmp_path / "token").write_text("right")
    kubeflow.several_users = several
    assert several_users(Endpoint(kubeflow.url, "ours", tmp_path / "token")) is several
    assert kubeflow.asked == ["GET /healthz"]


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9", "no address"])
def test_no_answer_tells_no_kind(url: str) -> None:
    assert several_users(Endpoint(url)) is None


def test_where_runs_will_be_follows_from_the_kind() -> None:
    assert [namespace_of_runs("", several) for several in (False, True, None)] == [
        "kubeflow",
        "unlearning",
        "unlearning",
    ]
    assert {namespace_of_runs("mine", several) for several in (False, True, None)} == {"mine"}


@pytest.mark.usefixtures("single")
def test_a_single_users_runs_are_where_kubeflow_is(cluster: Cluster) -> None:
    (finding,) = placement(cluster, names.KUBEFLOW, several=False)
    assert (finding.check, finding.state) == ("runs", "ok")
    (finding,) = placement(cluster, names.NAMESPACE, several=False)
    assert (finding.state, "unlearning has no ml-pipeline" in finding.found) == ("failed", True)
    assert "--namespace" in finding.do
    assert "overlays/single-user" in finding.do


def test_several_users_runs_are_in_a_profiles_namespace(kubernetes: Kubernetes, cluster: Cluster) -> None:
    (finding,) = placement(cluster, names.NAMESPACE, several=True)
    assert (finding.state, "no profile's" in finding.found, bool(finding.do)) == ("warning", True, True)
    kubernetes.objects[SPACE].metadata.labels = {"pipelines.kubeflow.org/enabled": "true"}
    (finding,) = placement(cluster, names.NAMESPACE, several=True)
    assert finding.state == "ok"
    (finding,) = placement(cluster, "nobody", several=True)
    assert (finding.state, "nobody" in finding.found, "overlays/profile" in finding.do) == ("failed", True, True)


def test_without_kubeflows_answer_there_is_no_verdict(kubernetes: Kubernetes, cluster: Cluster) -> None:
    (finding,) = placement(cluster, names.NAMESPACE, several=None)
    assert (finding.state, "--endpoint" in finding.found) == ("unknown", True)
    assert kubernetes.asked == []


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("several", [False, True])
def test_what_may_not_be_seen_is_no_verdict(kubernetes: Kubernetes, cluster: Cluster, several: bool) -> None:
    kubernetes.forbidden.add("/api/v1/namespaces")
    (finding,) = placement(cluster, names.KUBEFLOW, several=several)
    assert finding.state == "unknown"
