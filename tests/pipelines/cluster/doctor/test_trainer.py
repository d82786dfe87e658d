from __future__ import annotations

import pytest
from kubernetes import client

from pipelines.cluster.doctor.trainer import trainer
from tests.pipelines.kubernetes_server import SPACE, Kubernetes
from unlearning.cluster import names
from unlearning.cluster.client import Cluster

RUNTIMES = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{names.NAMESPACE}/trainingruntimes"
RUNTIME = f"{RUNTIMES}/{names.TRAINING_RUNTIME}"
CACHE = f"{SPACE}/persistentvolumeclaims/{names.CACHE}"


@pytest.fixture
def shared(kubernetes: Kubernetes) -> Kubernetes:
    """A cluster as the overlay `multi-node` leaves it."""
    kubernetes.objects[RUNTIME] = {"kind": "TrainingRuntime", "metadata": {"name": names.TRAINING_RUNTIME}}
    kubernetes.objects[CACHE].spec.access_modes = ["ReadWriteMany"]
    return kubernetes


def states(cluster: Cluster) -> list[str]:
    found = [*trainer(cluster, names.NAMESPACE)]
    assert all(each.do for each in found if each.state != "ok")
    return [each.state for each in found]


def test_a_cluster_with_trainer_and_a_shared_cache_will_do(shared: Kubernetes, cluster: Cluster) -> None:
    assert states(cluster) == ["ok", "ok"]
    assert {method for method, _ in shared.asked} == {"GET"}


def test_without_the_runtime_no_training_would_start(shared: Kubernetes, cluster: Cluster) -> None:
    del shared.objects[RUNTIME]
    assert states(cluster) == ["failed", "ok"]


@pytest.mark.parametrize("modes", [None, ["ReadWriteOnce"]])
def test_a_cache_of_one_node_will_not_do(shared: Kubernetes, cluster: Cluster, modes: list[str] | None) -> None:
    shared.objects[CACHE].spec = client.V1PersistentVolumeClaimSpec(access_modes=modes)
    assert states(cluster) == ["ok", "failed"]


def test_without_a_cache_nothing_could_be_handed_over(shared: Kubernetes, cluster: Cluster) -> None:
    del shared.objects[CACHE]
    assert states(cluster) == ["ok", "failed"]


def test_what_may_not_be_seen_is_no_verdict(shared: Kubernetes, cluster: Cluster) -> None:
    shared.forbidden |= {RUNTIMES, CACHE}
    assert states(cluster) == ["unknown", "unknown"]
