"""A cluster as the manifests leave it, on localhost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from tests.pipelines.kubernetes_server import SPACE, Kubernetes, reached
from unlearning.cluster import names
from unlearning.cluster.client import Cluster


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubernetes]:
    with reached(Kubernetes(), tmp_path, monkeypatch) as running:
        running.objects = {
            SPACE: client.V1Namespace(metadata=client.V1ObjectMeta(name=names.NAMESPACE)),
            f"{SPACE}/configmaps/{names.SETTINGS}": client.V1ConfigMap(data=dict.fromkeys(names.SETTINGS_KEYS, "x")),
            f"{SPACE}/secrets/{names.OBJECT_STORE}": client.V1Secret(
                data=dict.fromkeys(names.OBJECT_STORE_KEYS, "c2VjcmV0")
            ),
            f"{SPACE}/secrets/{names.SIGNING_KEY}": client.V1Secret(data={"signing.pem": "c2VjcmV0"}),
            f"{SPACE}/persistentvolumeclaims/{names.CACHE}": client.V1PersistentVolumeClaim(
                spec=client.V1PersistentVolumeClaimSpec(),
                status=client.V1PersistentVolumeClaimStatus(phase="Pending"),
            ),
            f"{SPACE}/serviceaccounts/{names.SERVICE_ACCOUNT}": client.V1ServiceAccount(
                metadata=client.V1ObjectMeta(name=names.SERVICE_ACCOUNT)
            ),
            f"{SPACE}/resourcequotas": client.V1ResourceQuotaList(items=[]),
        }
        yield running


@pytest.fixture
def cluster(kubernetes: Kubernetes) -> Cluster:
    return Cluster()
