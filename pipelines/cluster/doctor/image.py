"""Whether the images that a pipeline names can be had: asked of their registry, as a node would ask, and of the nodes.

A node need not pull what it holds. Kubernetes lists the largest of these images alone, so that one that no node lists
may still be there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import requests

from pipelines.cluster.doctor.findings import Finding
from pipelines.cluster.packages import Package
from unlearning.cluster.client import Node

TIMEOUT = 10.0
HUB = "registry-1.docker.io"
HUBS = ("docker.io", "index.docker.io")
"""Other names of it, by which nodes list their images."""
ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
PART = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class ImageReference:
    """An image's name, taken apart as Docker does it."""

    registry: str
    repository: str
    tag: str
    """A tag, or a digest; empty where the name has neither."""

    @property
    def url(self) -> str:
        """Of its manifest. A registry on this machine has no certificate."""
        local = self.registry.split(":")[0] in ("localhost", "127.0.0.1")
        return f"{'http' if local else 'https'}://{self.registry}/v2/{self.repository}/manifests/{self.tag}"


def parse(name: str) -> ImageReference:
    """Take a name apart: `[registry/]repository[:tag][@digest]`."""
    rest, at, digest = name.partition("@")
    first, slash, others = rest.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    registry, rest = (first, others) if named else (HUB, rest)
    registry = HUB if registry in HUBS else registry
    path, colon, tag = rest.rpartition(":")
    repository, tag = (path, tag) if colon else (rest, "")
    if registry == HUB and "/" not in repository:
        repository = f"library/{repository}"
    return ImageReference(registry, repository, digest if at else tag)


def images_of(package: Package) -> list[str]:
    """Every image that a task of the pipeline runs in, once."""
    executors = package.spec.get("deploymentSpec", {}).get("executors", {}).values()
    return sorted({each["container"]["image"] for each in executors if "container" in each})


def image(package: Package, nodes: Sequence[Node] = ()) -> Iterator[Finding]:
    """Whether each image has a tag that stays, and is in its registry or on every node that takes pods."""
    ready = [each for each in nodes if each.ready]
    for name in images_of(package):
        reference = parse(name)
        if reference.tag in ("", "latest"):
            do = "compile with UNLEARNING_IMAGE=REGISTRY/unlearning:TAG, with a tag that never moves"
            yield Finding(check="image", state="failed", found=f"{name} has no fixed tag", do=do)
            continue
        asked = _looked_up(name, reference)
        yield asked if asked.state == "ok" else _on_nodes(name, reference, asked, ready)


def _on_nodes(name: str, reference: ImageReference, asked: Finding, nodes: Sequence[Node]) -> Finding:
    """The registry's answer, with what the nodes add to it."""
    if not nodes:
        return asked
    lacking = [each.name for each in nodes if reference not in map(parse, each.images)]
    if not lacking:
        return Finding(check="image", state="ok", found=f"{name} is on every node that is ready ({len(nodes)})")
    if len(lacking) < len(nodes):
        has = len(nodes) - len(lacking)
        found = f"{asked.found}; {has} of {len(nodes)} nodes list it, not {', '.join(sorted(lacking)[:5])}"
        do = "push it, or load it on those too: a task that comes there may not start"
        return Finding(check="image", state="warning", found=found, do=do)
    return asked.model_copy(update={"found": f"{asked.found}, and no node lists it"})


def _looked_up(name: str, reference: ImageReference) -> Finding:
    try:
        status = _status(reference)
    except (requests.RequestException, ValueError) as error:
        found = f"{name}: its registry does not answer here ({type(error).__name__})"
        return Finding(check="image", state="unknown", found=found, do="the nodes may reach it all the same")
    if status == 200:
        return Finding(check="image", state="ok", found=f"{name} is in its registry")
    if status == 404:
        do = "push it, or compile with UNLEARNING_IMAGE=REGISTRY/unlearning:TAG"
        return Finding(check="image", state="failed", found=f"{name} is not in its registry", do=do)
    found = f"{name}: its registry answers nobody without credentials (status {status})"
    return Finding(check="image", state="unknown", found=found, do="the nodes need credentials: imagePullSecrets")


def _status(reference: ImageReference) -> int:
    """What the registry says of the manifest; with an anonymous token where it wants one."""
    headers = {"Accept": ACCEPT}
    answer = requests.head(reference.url, headers=headers, timeout=TIMEOUT, allow_redirects=True)
    wanted = dict(PART.findall(answer.headers.get("Www-Authenticate", "")))
    if answer.status_code == 401 and wanted.get("realm", "").startswith(("http://", "https://")):
        asked = {key: wanted[key] for key in ("service", "scope") if key in wanted}
        given = requests.get(wanted["realm"], params=asked, timeout=TIMEOUT)
        if given.ok:
            token = given.json().get("token") or given.json().get("access_token", "")
            headers["Authorization"] = f"Bearer {token}"
            answer = requests.head(reference.url, headers=headers, timeout=TIMEOUT, allow_redirects=True)
    return answer.status_code
