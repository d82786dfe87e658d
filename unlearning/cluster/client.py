"""What can be read of a Kubernetes cluster, by the official client; nothing here changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from kubernetes import client, config
from kubernetes.utils.quantity import parse_quantity
from urllib3.exceptions import HTTPError

from unlearning.cluster.names import GPU
from unlearning.core.errors import ForbiddenError, MissingObjectError, NotConfiguredError, UserError

GPU_TYPE = "nvidia.com/gpu.product"
"""Label that NVIDIA's device plugin puts on nodes."""
TIMEOUT = 15
"""Seconds one call may take."""
PAGE = 500


@dataclass(frozen=True)
class Node:
    """What matters of a node here."""

    name: str
    ready: bool
    gpus: int
    """That pods may ask for in all, whether in use or not."""
    gpu_type: str
    taints: tuple[str, ...]
    """Keys of taints that keep pods away which do not tolerate them."""
    images: frozenset[str] = frozenset()
    """Names of the images that it says it holds: the largest, 50 as Kubernetes is set up by default."""


@dataclass(frozen=True)
class Room:
    """How full a volume is, in bytes."""

    free: int
    size: int


@dataclass(frozen=True)
class Quota:
    """One limit of a namespace, and how much of it is taken, as Kubernetes counts."""

    name: str
    resource: str
    hard: float
    used: float


def configured(context: str = "") -> client.Configuration:
    """How to reach the cluster of the kubeconfig, or the one that this pod runs in.

    Raises:
        NotConfiguredError: nothing tells where a cluster is.
        UserError: the kubeconfig is damaged or has no such context.
    """
    configuration = client.Configuration()
    try:
        config.load_kube_config(context=context or None, client_configuration=configuration)
    except config.ConfigException as error:
        if context:
            raise UserError(f"kubeconfig: {error}") from None
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            raise NotConfiguredError("neither a kubeconfig nor a pod's service account tells of a cluster") from None
    configuration.retries = False
    return configuration


@contextmanager
def asking(host: str, what: str, verb: str = "look at") -> Iterator[None]:
    """Errors of the client in words.

    Raises:
        MissingObjectError: there is no such object, or no such kind of objects.
        ForbiddenError: whoever asks may not.
        UserError: the API refuses or does not answer.
    """
    try:
        yield
    except client.ApiException as error:
        if error.status == 404:
            raise MissingObjectError(f"there is no {what}") from None
        if error.status == 403:
            raise ForbiddenError(f"may not {verb} {what}") from None
        advice = "; the credentials are not valid" if error.status == 401 else ""
        raise UserError(f"{host}: {what}: status {error.status} {error.reason}{advice}") from None
    except HTTPError as error:
        reason = type(getattr(error, "reason", None) or error).__name__
        raise UserError(f"{host} does not answer ({reason})") from None


class Cluster:
    """One cluster, seen by whoever the kubeconfig or the pod's service account stands for."""

    def __init__(self, context: str = "") -> None:
        """
        Raises:
            NotConfiguredError: nothing tells where a cluster is.
            UserError: the kubeconfig is damaged or has no such context.
        """
        configuration = configured(context)
        self.host = str(configuration.host)
        self.core = client.CoreV1Api(client.ApiClient(configuration))

    def _asking(self, what: str, verb: str = "look at") -> AbstractContextManager[None]:
        return asking(self.host, what, verb)

    def namespace(self, name: str) -> dict[str, str]:
        """Its labels."""
        with self._asking(f"namespace {name}"):
            return dict(self.core.read_namespace(name, _request_timeout=TIMEOUT).metadata.labels or {})

    def config_map(self, namespace: str, name: str) -> dict[str, str]:
        """What it holds."""
        with self._asking(f"ConfigMap {name} in {namespace}"):
            return dict(self.core.read_namespaced_config_map(name, namespace, _request_timeout=TIMEOUT).data or {})

    def secret_sizes(self, namespace: str, name: str) -> dict[str, int]:
        """Which keys it has, and how many characters each; what they hold is not kept."""
        with self._asking(f"Secret {name} in {namespace}"):
            data = self.core.read_namespaced_secret(name, namespace, _request_timeout=TIMEOUT).data or {}
            return {key: len(value or "") for key, value in data.items()}

    def claim(self, namespace: str, name: str) -> tuple[str, tuple[str, ...]]:
        """Phase and access modes of a PersistentVolumeClaim."""
        with self._asking(f"PersistentVolumeClaim {name} in {namespace}"):
            found = self.core.read_namespaced_persistent_volume_claim(name, namespace, _request_timeout=TIMEOUT)
            return str(found.status.phase), tuple(found.spec.access_modes or ())

    def service_account(self, namespace: str, name: str) -> dict[str, str]:
        """Its annotations, by which clouds give it a role."""
        with self._asking(f"ServiceAccount {name} in {namespace}"):
            found = self.core.read_namespaced_service_account(name, namespace, _request_timeout=TIMEOUT)
            return dict(found.metadata.annotations or {})

    def service(self, namespace: str, name: str) -> dict[str, int]:
        """Its ports by name."""
        with self._asking(f"Service {name} in {namespace}"):
            found = self.core.read_namespaced_service(name, namespace, _request_timeout=TIMEOUT)
            return {str(each.name or each.port): int(each.port) for each in found.spec.ports or ()}

    def room(self, namespace: str, claim: str) -> Room | None:
        """How full a claim's volume is; None where no pod that runs has it mounted, or its node does not measure it."""
        with self._asking(f"pods in {namespace}", "list"):
            running = "status.phase=Running"
            pods = self.core.list_namespaced_pod(namespace, field_selector=running, _request_timeout=TIMEOUT).items
        for node in sorted({str(each.spec.node_name) for each in pods if claim in _claims(each)}):
            for volume in self._volumes(node):
                named = volume.get("pvcRef", {})
                if (named.get("namespace"), named.get("name")) == (namespace, claim) and "availableBytes" in volume:
                    return Room(int(volume["availableBytes"]), int(volume.get("capacityBytes", 0)))
        return None

    def _volumes(self, node: str) -> Iterator[dict[str, Any]]:
        """What a node's kubelet measures of each volume of its pods."""
        # Not by the client's own call, which writes the path's slash as %2F.
        with self._asking(f"statistics of node {node}", "read"):
            answer: dict[str, Any] = self.core.api_client.call_api(
                "/api/v1/nodes/{name}/proxy/stats/summary",
                "GET",
                path_params={"name": node},
                auth_settings=["BearerToken"],
                response_type="object",
                _return_http_data_only=True,
                _request_timeout=TIMEOUT,
            )
        for pod in answer.get("pods", ()):
            yield from pod.get("volume", ())

    def custom(self, namespace: str, group: str, version: str, plural: str, name: str) -> dict[str, Any]:
        """An object of a kind that was added to Kubernetes; missing too where the kind is not known."""
        with self._asking(f"{name} among the {plural} of {namespace}"):
            found: dict[str, Any] = client.CustomObjectsApi(self.core.api_client).get_namespaced_custom_object(
                group, version, namespace, plural, name, _request_timeout=TIMEOUT
            )
            return found

    def pods(self, namespace: str, selector: str) -> list[Any]:
        """Pods with these labels, over all pages, as Kubernetes describes them."""
        return list(
            self._pages(f"pods in {namespace}", self.core.list_namespaced_pod, namespace, label_selector=selector)
        )

    def quotas(self, namespace: str) -> list[Quota]:
        """Every limit of every ResourceQuota of a namespace."""
        with self._asking(f"ResourceQuotas in {namespace}"):
            found = self.core.list_namespaced_resource_quota(namespace, _request_timeout=TIMEOUT).items
        return [
            Quota(each.metadata.name, resource, float(parse_quantity(hard)), _used(each, resource))
            for each in found
            for resource, hard in ((each.status.hard or {}) if each.status else {}).items()
        ]

    def nodes(self) -> list[Node]:
        """Every node, over all pages."""
        return [_node(each) for each in self._pages("nodes", self.core.list_node)]

    def _pages(self, what: str, listing: Callable[..., Any], *given: Any, **named: Any) -> Iterator[Any]:
        """What a listing has, page after page."""
        token = ""
        while True:
            more = {"_continue": token} if token else {}
            with self._asking(what):
                page = listing(*given, limit=PAGE, _request_timeout=TIMEOUT, **named, **more)
            yield from page.items
            token = page.metadata._continue or ""
            if not token:
                return


def _used(quota: Any, resource: str) -> float:
    return float(parse_quantity((quota.status.used or {}).get(resource, "0")))


def _claims(pod: Any) -> set[str]:
    mounted = [each.persistent_volume_claim for each in pod.spec.volumes or ()]
    return {str(each.claim_name) for each in mounted if each is not None}


def _node(found: Any) -> Node:
    conditions = {each.type: each.status for each in found.status.conditions or ()}
    taints = tuple(each.key for each in found.spec.taints or () if each.effect in ("NoSchedule", "NoExecute"))
    return Node(
        name=str(found.metadata.name),
        ready=conditions.get("Ready") == "True" and not found.spec.unschedulable,
        gpus=int((found.status.allocatable or {}).get(GPU, 0)),
        gpu_type=str((found.metadata.labels or {}).get(GPU_TYPE, "")),
        taints=taints,
        images=frozenset(name for each in found.status.images or () for name in each.names or ()),
    )
