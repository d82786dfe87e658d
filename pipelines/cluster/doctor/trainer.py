"""Whether a training may run on several nodes: Kubeflow Trainer is there, and all nodes see one folder."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.cluster.doctor.findings import Finding
from unlearning.cluster import names
from unlearning.cluster.client import Cluster
from unlearning.cluster.names import TRAINER_GROUP, TRAINER_VERSION
from unlearning.core.errors import ForbiddenError, MissingObjectError

SHARED = "ReadWriteMany"


def trainer(cluster: Cluster, namespace: str) -> Iterator[Finding]:
    """The TrainingRuntime of the manifests, and a cache that several nodes can write."""
    for look in (_runtime, _cache):
        try:
            yield look(cluster, namespace)
        except ForbiddenError as error:
            yield Finding(check="trainer", state="unknown", found=str(error), do="ask who may")


def _runtime(cluster: Cluster, namespace: str) -> Finding:
    name = names.TRAINING_RUNTIME
    try:
        cluster.custom(namespace, TRAINER_GROUP, TRAINER_VERSION, "trainingruntimes", name)
    except MissingObjectError as error:
        do = "install Kubeflow Trainer and apply the overlay multi-node, or train on one node"
        return Finding(check="trainer", state="failed", found=str(error), do=do)
    return Finding(check="trainer", state="ok", found=f"{namespace}: TrainingRuntime {name} is there")


def _cache(cluster: Cluster, namespace: str) -> Finding:
    name = names.CACHE
    try:
        _, modes = cluster.claim(namespace, name)
    except MissingObjectError as error:
        return Finding(check="trainer", state="failed", found=str(error), do="apply the manifests")
    if SHARED not in modes:
        do = f"give it a class with {SHARED}: what nodes train on lies there"
        return Finding(check="trainer", state="failed", found=f"{name} may be written by one node alone", do=do)
    return Finding(check="trainer", state="ok", found=f"{name} may be written by several nodes")
