"""Rendered Kubernetes objects, and what stands inside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Object = dict[str, Any]


def name_of(item: Object) -> str:
    """Kind and name, as kubectl writes them."""
    return f"{item['kind']}/{item['metadata']['name']}"


def pod_of(item: Object) -> Object | None:
    """The pod template of a workload, or the pod itself; None for what runs nothing."""
    if item["kind"] == "Pod":
        return item
    spec = item.get("spec", {})
    if item["kind"] == "TrainingRuntime":
        (job,) = spec["template"]["spec"]["replicatedJobs"]
        spec = job["template"]["spec"]
    template: Object | None = spec.get("jobTemplate", {}).get("spec", spec).get("template")
    return template


def pods(items: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    """Every pod template with the name of what it stands in."""
    for item in items:
        if (pod := pod_of(item)) is not None:
            yield name_of(item), pod


def containers(items: Sequence[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Every container, the pod's specification beside it."""
    for name, pod in pods(items):
        for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
            yield f"{name}, container {container['name']}", container, pod["spec"]


def labels_of(pod: Object) -> dict[str, str]:
    """Labels of a pod template."""
    found: dict[str, str] = pod.get("metadata", {}).get("labels", {})
    return found


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Kind and name of everything that a pod cannot start without, anywhere below `value`."""
    kinds = {
        "configMap": "ConfigMap",
        "configMapKeyRef": "ConfigMap",
        "configMapRef": "ConfigMap",
        # pragma: allowlist nextline secret
        "secret": "Secret",
        # pragma: allowlist nextline secret
        "secretKeyRef": "Secret",
        # pragma: allowlist nextline secret
        "secretRef": "Secret",
        "persistentVolumeClaim": "PersistentVolumeClaim",
    }
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in kinds and not inner.get("optional"):
                yield kinds[key], inner.get("name") or inner.get("secretName") or inner["claimName"]
            elif key == "serviceAccountName":
                yield "ServiceAccount", inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def volumes_of(items: Sequence[Object], name: str, pod: Object) -> list[Object]:
    """Volumes of a pod, with those that a StatefulSet claims for it."""
    claimed = [
        {"name": claim["metadata"]["name"]}
        for item in items
        if name.startswith(f"{name_of(item)},")
        for claim in item["spec"].get("volumeClaimTemplates", [])
    ]
    return claimed + list(pod.get("volumes", []))
