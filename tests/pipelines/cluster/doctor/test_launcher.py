from __future__ import annotations

from typing import Any

import pytest
import yaml
from kubernetes import client

from pipelines.cluster.doctor.findings import Finding
from pipelines.cluster.doctor.launcher import launcher
from tests.pipelines.kubernetes_server import SPACE, Kubernetes
from unlearning.cluster import names
from unlearning.cluster.client import Cluster

CONFIG = f"{SPACE}/configmaps/kfp-launcher"
SETTINGS = f"{SPACE}/configmaps/{names.SETTINGS}"
SECRET = f"{SPACE}/secrets/{names.OBJECT_STORE}"
ROOT = "s3://bucket/pipelines"


def config(**changes: Any) -> client.V1ConfigMap:
    """KFP's ConfigMap as the manifests have it, with changes in its providers."""
    reference = {
        "secretName": names.OBJECT_STORE,
        "accessKeyKey": "AWS_ACCESS_KEY_ID",
        # pragma: allowlist nextline secret
        "secretKeyKey": "AWS_SECRET_ACCESS_KEY",
    }
    place = {"endpoint": "seaweedfs.kubeflow:9000", "disableSSL": True, "credentials": {"secretRef": reference}}
    text = yaml.safe_dump({"s3": {"default": place | changes}})
    return client.V1ConfigMap(data={"defaultPipelineRoot": ROOT, "providers": text})


@pytest.fixture
def held(kubernetes: Kubernetes) -> Kubernetes:
    """A cluster whose settings and KFP's ConfigMap agree."""
    kubernetes.objects[CONFIG] = config()
    kubernetes.objects[SETTINGS].data |= {
        "UNLEARNING_PIPELINE_ROOT": ROOT,
        "AWS_ENDPOINT_URL": "http://seaweedfs.kubeflow:9000",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return kubernetes


def only(cluster: Cluster) -> Finding:
    (found,) = launcher(cluster, names.NAMESPACE)
    assert "\n" not in found.line()
    return found


@pytest.mark.usefixtures("held")
def test_where_both_agree_it_says_where_artifacts_go(cluster: Cluster) -> None:
    found = only(cluster)
    assert (found.state, found.do) == ("ok", "")
    assert all(each in found.found for each in (ROOT, "http://seaweedfs.kubeflow:9000", names.OBJECT_STORE))


def test_no_configmap(held: Kubernetes, cluster: Cluster) -> None:
    del held.objects[CONFIG]
    found = only(cluster)
    assert (found.state, bool(found.do)) == ("failed", True)
    assert "no ConfigMap kfp-launcher in unlearning" in found.found
    assert "minio://mlpipeline/v2/artifacts" in found.found


def test_no_settings_to_hold_it_against(held: Kubernetes, cluster: Cluster) -> None:
    del held.objects[SETTINGS]
    assert only(cluster).state == "unknown"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (config(endpoint="minio-service.kubeflow:9000"), "minio-service.kubeflow:9000"),
        (config(disableSSL=False), "https://seaweedfs.kubeflow:9000"),
        (config(credentials=None), "has no credentials"),
        (config(endpiont="x"), "endpiont"),
        (client.V1ConfigMap(data={"defaultPipelineRoot": ROOT}), "says nothing of s3"),
        (client.V1ConfigMap(data={"defaultPipelineRoot": "gs://bucket/x"}), "is not s3://"),
    ],
)
def test_each_disagreement_is_one_line_with_what_to_do(
    held: Kubernetes, cluster: Cluster, changed: client.V1ConfigMap, words: str
) -> None:
    held.objects[CONFIG] = changed
    found = only(cluster)
    assert (found.state, bool(found.do)) == ("failed", True)
    assert words in found.found


def test_another_bucket_and_nothing_said_of_it_are_two_lines(held: Kubernetes, cluster: Cluster) -> None:
    held.objects[CONFIG] = client.V1ConfigMap(data={})
    found = list(launcher(cluster, names.NAMESPACE))
    assert [each.state for each in found] == ["failed", "failed", "failed"]
    assert ROOT in found[0].found
    assert "says nothing of s3" in found[1].found
    assert "mlpipeline-minio-artifact" in found[2].found


def test_the_secret_that_it_names_must_be_there_with_its_keys(held: Kubernetes, cluster: Cluster) -> None:
    held.objects[SECRET].data["AWS_SECRET_ACCESS_KEY"] = ""
    assert "AWS_SECRET_ACCESS_KEY, which it lacks" in only(cluster).found
    del held.objects[SECRET]
    found = only(cluster)
    assert f"no Secret {names.OBJECT_STORE}" in found.found
    assert found.state == "failed"
    held.objects[CONFIG] = config(credentials={"fromEnv": True})
    assert only(cluster).state == "ok"


def test_what_secrets_hold_is_not_told(held: Kubernetes, cluster: Cluster) -> None:
    for changed in (config(), config(disableSSL=False)):
        held.objects[CONFIG] = changed
        assert "c2VjcmV0" not in only(cluster).line()


@pytest.mark.parametrize("path", [CONFIG, SETTINGS, SECRET])
def test_what_may_not_be_seen_is_no_verdict(held: Kubernetes, cluster: Cluster, path: str) -> None:
    held.forbidden.add(path)
    assert only(cluster).state == "unknown"
