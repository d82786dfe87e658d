"""Whether the images that a pipeline names can be pulled: asked of their registry, as a node would ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import requests

from pipelines.cluster.doctor.findings import Finding
from pipelines.cluster.packages import Package

TIMEOUT = 10.0
HUB = "registry-1.docker.io"
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
    path, colon, tag = rest.rpartition(":")
    repository, tag = (path, tag) if colon else (rest, "")
    if registry == HUB and "/" not in repository:
        repository = f"library/{repository}"
    return ImageReference(registry, repository, digest if at else tag)


def images_of(package: Package) -> list[str]:
    """Every image that a task of the pipeline runs in, once."""
    executors = package.spec.get("deploymentSpec", {}).get("executors", {}).values()
    return sorted({each["container"]["image"] for each in executors if "container" in each})


def image(package: Package) -> Iterator[Finding]:
    """Whether each image has a tag that stays, and is there."""
    for name in images_of(package):
        yield _looked_up(name, parse(name))


def _looked_up(name: str, reference: ImageReference) -> Finding:
    if reference.tag in ("", "latest"):
        do = "compile with UNLEARNING_IMAGE=REGISTRY/unlearning:TAG, with a tag that never moves"
        return Finding(check="image", state="failed", found=f"{name} has no fixed tag", do=do)
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
