"""Where the cluster is that the suite is to test, and how what stands inside it is reached from outside.

`python -m tests.cluster.access` says in one line what is missing, and ends with 2 then.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.services import free_port
from unlearning.cluster import names
from unlearning.cluster.client import TIMEOUT, Cluster, asking, configured
from unlearning.compliance.certificates import keys
from unlearning.core.errors import EXIT_BAD_INPUT, EXIT_OK, MissingObjectError, UserError
from unlearning.core.files import write_text

ENDPOINT = "UNLEARNING_KFP_ENDPOINT"
IMAGE = "UNLEARNING_IMAGE"
NAMESPACE = "UNLEARNING_NAMESPACE"
KEYRING = "UNLEARNING_KEYRING"
MINUTES = "UNLEARNING_CLUSTER_MINUTES"

REQUIRED = {
    ENDPOINT: "address of Kubeflow Pipelines' API",
    IMAGE: "image that the nodes can pull or have",
    NAMESPACE: "where the tasks run",
}
"""Without these there is nothing to test."""

PATIENCE = 30.0
"""Seconds in which kubectl must open a port."""

_SERVICE = re.compile(r"([a-z0-9-]+)(?:\.([a-z0-9-]+)(?:\.svc(?:\.cluster\.local)?)?)?")


def missing(environment: Mapping[str, str]) -> list[str]:
    """What keeps the suite from being run, a few words each; nothing asks the cluster yet."""
    lacking = [f"{name} ({meaning})" for name, meaning in REQUIRED.items() if not environment.get(name)]
    try:
        configured()
    except UserError:
        lacking.append("KUBECONFIG (or ~/.kube/config)")
    if shutil.which("kubectl") is None:
        lacking.append("kubectl (on the PATH)")
    return lacking


def sentence(lacking: list[str]) -> str:
    """The one line that says so."""
    return f"no cluster to test: set {', '.join(lacking)}; docs/deploying.md says what each is"


@dataclass(frozen=True)
class ServiceAddress:
    """A service of Kubernetes that an address names."""

    name: str
    namespace: str
    port: int


def service_address(url: str, namespace: str) -> ServiceAddress | None:
    """The service that an address may name, as a pod of the namespace reads it; None where it can be none."""
    parts = urlsplit(url)
    found = _SERVICE.fullmatch(parts.hostname or "")
    if found is None or found[1] == "localhost" or found[1].isdigit():
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return ServiceAddress(name=found[1], namespace=found[2] or namespace, port=port)


def inside(cluster: Cluster, url: str, namespace: str) -> ServiceAddress | None:
    """The service of the cluster that an address names; None where it is one outside."""
    address = service_address(url, namespace)
    if address is None:
        return None
    try:
        with asking(cluster.host, f"Service {address.name} in {address.namespace}"):
            cluster.core.read_namespaced_service(address.name, address.namespace, _request_timeout=TIMEOUT)
    except MissingObjectError:
        return None
    return address


class Forward:
    """A port of this machine that leads to a service, by `kubectl port-forward`."""

    def __init__(self, address: ServiceAddress) -> None:
        self.address = address
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        of = self.address
        return [
            "kubectl", "--namespace", of.namespace, "port-forward", "--address", "127.0.0.1",
            f"service/{of.name}", f"{self.port}:{of.port}",
        ]  # fmt: skip

    def ensure(self) -> None:
        """Open it, or open it again: it ends with the pod that it leads to.

        Raises:
            UserError: kubectl does not open it.
        """
        if self._process is not None and self._process.poll() is None:
            return
        with tempfile.TemporaryFile() as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT)
            deadline = time.monotonic() + PATIENCE
            while self._process.poll() is None and time.monotonic() < deadline:
                if _open(self.port):
                    return
                time.sleep(0.2)
            self.close()
            log.seek(0)
            said = " ".join(log.read().decode(errors="replace").split())
        raise UserError(f"kubectl cannot forward a port to {self.address.name} in {self.address.namespace}: {said}")

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def replaced(self, url: str) -> str:
        """An address with this port in place of the service."""
        parts = urlsplit(url)
        return parts._replace(netloc=f"127.0.0.1:{self.port}").geturl()


def _open(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@dataclass(frozen=True)
class Place:
    """The cluster under test."""

    endpoint: str
    image: str
    namespace: str
    settings: dict[str, str]
    """Environment in which this machine reaches store and MLflow as the tasks do."""
    forwards: tuple[Forward, ...]

    def ensure(self) -> None:
        """Open again what was closed."""
        for each in self.forwards:
            each.ensure()


def settings_of(cluster: Cluster, namespace: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Where store and MLflow are: the environment's own word, else what the tasks are told."""
    wanted = ("UNLEARNING_STORE", "MLFLOW_TRACKING_URI", "AWS_DEFAULT_REGION", *names.ENDPOINTS)
    told = cluster.config_map(namespace, names.SETTINGS)
    found = {key: told[key] for key in wanted if told.get(key)}
    if not any(environment.get(key) for key in names.OBJECT_STORE_KEYS):
        found |= secret(cluster, namespace, names.OBJECT_STORE)
    return found | {key: value for key in wanted if (value := environment.get(key))}


def secret(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    """What a Secret holds."""
    with asking(cluster.host, f"Secret {name} in {namespace}"):
        found: Any = cluster.core.read_namespaced_secret(name, namespace, _request_timeout=TIMEOUT)
    return {key: base64.b64decode(value).decode() for key, value in (found.data or {}).items()}


@contextmanager
def reached(cluster: Cluster, environment: Mapping[str, str]) -> Iterator[Place]:
    """The cluster, with a forwarded port for every address of the settings that leads into it."""
    namespace = environment[NAMESPACE]
    settings = settings_of(cluster, namespace, environment)
    opened: dict[ServiceAddress, Forward] = {}
    with ExitStack() as stack:
        for key in ("MLFLOW_TRACKING_URI", *names.ENDPOINTS):
            address = inside(cluster, settings[key], namespace) if settings.get(key) else None
            if address is None:
                continue
            if address not in opened:
                opened[address] = Forward(address)
                stack.callback(opened[address].close)
                opened[address].ensure()
            settings[key] = opened[address].replaced(settings[key])
        yield Place(
            endpoint=environment[ENDPOINT], image=environment[IMAGE], namespace=namespace, settings=settings,
            forwards=tuple(opened.values()),
        )  # fmt: skip


def verification_keys(cluster: Cluster, namespace: str, folder: Path, keyring: str = "") -> list[str]:
    """Options by which `unlearn verify` and `ledger verify` know the signing key: the keyring that was given, or the
    one in the secret, else the public half of the key there; the key itself is not kept."""
    if keyring:
        return ["--keyring", keyring]
    held = secret(cluster, namespace, names.SIGNING_KEY)
    folder.mkdir(parents=True, exist_ok=True)
    if ring := held.get("keyring.json"):
        write_text(folder / "keyring.json", ring)
        return ["--keyring", str(folder / "keyring.json")]
    path = folder / "signing.pem"
    write_text(path, held[path.name])
    public = keys.public_pem(keys.raw_public(keys.load_private(path)))
    path.unlink()
    write_text(folder / "public.pem", public)
    return ["--key", str(folder / "public.pem")]


if __name__ == "__main__":
    if lacking := missing(os.environ):
        print(f"error: {sentence(lacking)}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    sys.exit(EXIT_OK)
