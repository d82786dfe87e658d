"""A Kubernetes API on localhost: answers what the official client's models are, and nothing it was not told to hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from kubernetes import client

from tests.http_server import Quiet, listening
from unlearning.cluster import names

SPACE = f"/api/v1/namespaces/{names.NAMESPACE}"
"""Path of our namespace."""
TOKEN = "a-token"  # noqa: S105 - of this server
KUBECONFIG = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
"""Where the client keeps the path that it looks at."""
FORMATS = client.ApiClient(client.Configuration())


class Kubernetes:
    """What the cluster holds, by path; what was asked; and what is forbidden."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.nodes: list[client.V1Node] = []
        self.page_size = 2
        self.forbidden: set[str] = set()
        """Beginnings of paths."""
        self.broken = False
        self.asked: list[tuple[str, str]] = []
        self.url = ""

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        """Status and object."""
        if self.broken:
            return 500, status(500, "etcd is away")
        if path == "/api/v1/nodes":
            return 200, self._page(query)
        found = self.objects.get(path)
        return (200, found) if found is not None else (404, status(404, f"{path} not found"))

    def create(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and object, of one that is posted."""
        return 404, status(404, f"{path} not found")

    def delete(self, path: str) -> tuple[int, Any]:
        """Status and what is said of it."""
        return 404, status(404, f"{path} not found")

    def _page(self, query: dict[str, str]) -> client.V1NodeList:
        start = int(query.get("continue", "0"))
        end = start + min(self.page_size, int(query["limit"]))
        more = str(end) if end < len(self.nodes) else None
        return client.V1NodeList(items=self.nodes[start:end], metadata=client.V1ListMeta(_continue=more))


def status(code: int, message: str) -> client.V1Status:
    return client.V1Status(code=code, message=message, status="Failure")


K = TypeVar("K", bound=Kubernetes)


class Handler(Quiet, BaseHTTPRequestHandler):
    """HTTP around a `Kubernetes`."""

    kubernetes: Kubernetes

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self._say(lambda: self.kubernetes.answer(parts.path, query))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._say(lambda: self.kubernetes.create(urlsplit(self.path).path, body))

    def do_DELETE(self) -> None:
        self._say(lambda: self.kubernetes.delete(urlsplit(self.path).path))

    def _say(self, answer: Callable[[], tuple[int, Any]]) -> None:
        path = urlsplit(self.path).path
        self.kubernetes.asked.append((self.command, path))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            code, said = 401, status(401, "Unauthorized")
        elif any(path.startswith(each) for each in self.kubernetes.forbidden):
            code, said = 403, status(403, f"{path} is forbidden")
        else:
            code, said = answer()
        self.send_json(code, FORMATS.sanitize_for_serialization(said))


@contextmanager
def serving(kubernetes: K) -> Iterator[K]:
    """A server on a free port of localhost, as long as the block lasts."""
    with listening(type("Bound", (Handler,), {"kubernetes": kubernetes})) as kubernetes.url:
        yield kubernetes


@contextmanager
def reached(kubernetes: K, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[K]:
    """The same, and a kubeconfig in the folder that leads there, where the client looks for one."""
    with serving(kubernetes) as running:
        write_kubeconfig(folder / "kubeconfig", running.url)
        patch.setattr(KUBECONFIG, str(folder / "kubeconfig"))
        yield running


def write_kubeconfig(path: Path, url: str, token: str = TOKEN) -> None:
    """One context, `test`."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(config))


def node(name: str, gpus: int = 0, *, ready: bool = True, product: str = "", taints: tuple[str, ...] = ()) -> Any:
    """A node with GPUs, as its kubelet and NVIDIA's plugin describe it."""
    condition = client.V1NodeCondition(type="Ready", status="True" if ready else "False")
    return client.V1Node(
        metadata=client.V1ObjectMeta(name=name, labels={"nvidia.com/gpu.product": product} if product else {}),
        spec=client.V1NodeSpec(taints=[client.V1Taint(key=key, effect="NoSchedule") for key in taints]),
        status=client.V1NodeStatus(
            allocatable={"cpu": "8", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}, conditions=[condition]
        ),
    )
