from __future__ import annotations

import pytest
from kubernetes import client

from pipelines.cluster.doctor.namespace import namespace
from tests.pipelines.kubernetes_server import SPACE, Kubernetes
from unlearning.cluster import names
from unlearning.cluster.client import Cluster

OBJECTS = (
    SPACE,
    f"{SPACE}/configmaps/{names.SETTINGS}",
    f"{SPACE}/persistentvolumeclaims/{names.CACHE}",
    f"{SPACE}/serviceaccounts/{names.SERVICE_ACCOUNT}",
    f"{SPACE}/secrets/{names.OBJECT_STORE}",
    f"{SPACE}/secrets/{names.SIGNING_KEY}",
)


def test_all_is_there_and_no_secret_is_told(cluster: Cluster) -> None:
    found = list(namespace(cluster, names.NAMESPACE))
    assert [each.state for each in found] == ["ok"] * len(OBJECTS)
    assert "c2VjcmV0" not in str(found)


@pytest.mark.parametrize("path", OBJECTS)
def test_each_object_that_is_missing_is_found(kubernetes: Kubernetes, cluster: Cluster, path: str) -> None:
    del kubernetes.objects[path]
    found = list(namespace(cluster, names.NAMESPACE))
    (failed,) = [each for each in found if each.state == "failed"]
    assert path.rsplit("/", 1)[-1] in failed.found
    assert failed.do
    assert len(found) == len(OBJECTS)


@pytest.mark.parametrize("path", OBJECTS)
def test_what_may_not_be_seen_is_no_verdict(kubernetes: Kubernetes, cluster: Cluster, path: str) -> None:
    kubernetes.forbidden.add(path if path != SPACE else f"{SPACE}")
    states = [each.state for each in namespace(cluster, names.NAMESPACE)]
    assert "unknown" in states
    assert "failed" not in states


@pytest.mark.parametrize("key", names.REQUIRED_SETTINGS)
def test_each_setting_that_is_missing_is_found(kubernetes: Kubernetes, cluster: Cluster, key: str) -> None:
    kubernetes.objects[f"{SPACE}/configmaps/{names.SETTINGS}"].data[key] = ""
    (failed,) = [each for each in namespace(cluster, names.NAMESPACE) if each.state == "failed"]
    assert failed.found == f"{names.SETTINGS} lacks {key}"


def test_endpoints_may_be_missing(kubernetes: Kubernetes, cluster: Cluster) -> None:
    for key in names.ENDPOINTS:
        del kubernetes.objects[f"{SPACE}/configmaps/{names.SETTINGS}"].data[key]
    assert {each.state for each in namespace(cluster, names.NAMESPACE)} == {"ok"}


@pytest.mark.parametrize("key", names.OBJECT_STORE_KEYS)
def test_each_key_of_a_secret_that_is_missing_or_empty_is_found(
    kubernetes: Kubernetes, cluster: Cluster, key: str
) -> None:
    data = kubernetes.objects[f"{SPACE}/secrets/{names.OBJECT_STORE}"].data
    for lacking in ({**data, key: ""}, {name: value for name, value in data.items() if name != key}):
        kubernetes.objects[f"{SPACE}/secrets/{names.OBJECT_STORE}"] = client.V1Secret(data=lacking)
        (failed,) = [each for each in namespace(cluster, names.NAMESPACE) if each.state == "failed"]
        assert failed.found == f"{names.OBJECT_STORE} lacks {key}"


def test_a_cache_that_lost_its_volume(kubernetes: Kubernetes, cluster: Cluster) -> None:
    kubernetes.objects[f"{SPACE}/persistentvolumeclaims/{names.CACHE}"].status.phase = "Lost"
    (failed,) = [each for each in namespace(cluster, names.NAMESPACE) if each.state == "failed"]
    assert "lost its volume" in failed.found
