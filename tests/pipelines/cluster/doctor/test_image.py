"""Against a registry on localhost that speaks Docker's protocol as far as it is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from pipelines.cluster import packages
from pipelines.cluster.doctor.image import HUB, ImageReference, image, images_of, parse
from pipelines.cluster.packages import Package
from tests.http_server import Quiet, listening
from unlearning.cluster.client import Node


class RegistryServer:
    """Which manifests there are, and whether anonymous clients need a token for them."""

    def __init__(self) -> None:
        self.manifests = {"team/unlearning:1.0"}
        self.wants_token = False
        self.gives_token = True
        self.name = ""


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    state = RegistryServer()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            if (
                state.wants_token
                and self.headers.get("Authorization") != "Bearer given:repository:team/unlearning:pull"
            ):
                self.send_response(401)
                scope = 'scope="repository:team/unlearning:pull"'
                realm = f'Bearer realm="http://{state.name}/token",service="here",{scope}'
                self.send_header("Www-Authenticate", realm)
                self.end_headers()
                return
            assert "oci.image.index" in self.headers["Accept"]
            _, _, rest = self.path.partition("/v2/")
            repository, _, tag = rest.partition("/manifests/")
            self.send_response(200 if f"{repository}:{tag}" in state.manifests else 404)
            self.end_headers()

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            self.send_response(200 if state.gives_token else 403)
            self.end_headers()
            self.wfile.write(json.dumps({"token": f"given:{asked['scope'][0]}"}).encode())

    with listening(Handler) as url:
        state.name = url.removeprefix("http://")
        yield state


def package(*images: str) -> Package:
    executors: dict[str, Any] = {str(number): {"container": {"image": name}} for number, name in enumerate(images)}
    return Package("p", {"root": {}, "deploymentSpec": {"executors": executors | {"i": {"importer": {}}}}}, {})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unlearning:1", ImageReference(HUB, "library/unlearning", "1")),
        ("team/unlearning", ImageReference(HUB, "team/unlearning", "")),
        ("ghcr.io/team/unlearning:1-cpu", ImageReference("ghcr.io", "team/unlearning", "1-cpu")),
        ("localhost:5000/a/b:c", ImageReference("localhost:5000", "a/b", "c")),
        ("localhost/a", ImageReference("localhost", "a", "")),
        ("r.io/a:1@sha256:00", ImageReference("r.io", "a", "sha256:00")),
        ("docker.io/library/unlearning:1", ImageReference(HUB, "library/unlearning", "1")),
        ("r.io:1/a@sha256:00", ImageReference("r.io:1", "a", "sha256:00")),
    ],
)
def test_names_are_taken_apart_as_docker_does(name: str, expected: ImageReference) -> None:
    assert parse(name) == expected


def test_only_a_registry_of_this_machine_is_asked_without_tls() -> None:
    assert parse("localhost:5000/a:1").url == "http://localhost:5000/v2/a/manifests/1"
    assert parse("127.0.0.1.evil.org/a:1").url.startswith("https://")


@pytest.mark.parametrize("wants_token", [False, True])
def test_what_is_there_and_what_is_not(registry: RegistryServer, wants_token: bool) -> None:
    registry.wants_token = wants_token
    there, missing = f"{registry.name}/team/unlearning:1.0", f"{registry.name}/team/unlearning:2.0"
    states = {each.found.split(" ")[0]: each.state for each in image(package(there, missing, there))}
    assert states == {there: "ok", missing: "failed"}


def test_a_registry_that_answers_nobody_without_credentials_is_no_verdict(registry: RegistryServer) -> None:
    registry.wants_token, registry.gives_token = True, False
    (finding,) = image(package(f"{registry.name}/team/unlearning:1.0"))
    assert (finding.state, "imagePullSecrets" in finding.do) == ("unknown", True)


def test_no_registry_there_is_no_verdict() -> None:
    (finding,) = image(package("127.0.0.1:9/team/unlearning:1.0"))
    assert finding.state == "unknown"


def holding(name: str, *images: str, ready: bool = True) -> Node:
    return Node(name, ready=ready, gpus=0, gpu_type="", taints=(), images=frozenset(images))


GONE = "127.0.0.1:9/team/unlearning:1.0"
"""In a registry that does not answer."""


def test_what_every_ready_node_holds_needs_no_registry() -> None:
    nodes = [holding("a", GONE), holding("b", "x.io/other:1", GONE), holding("off", ready=False)]
    (finding,) = image(package(GONE), nodes)
    assert (finding.state, finding.found) == ("ok", f"{GONE} is on every node that is ready (2)")


def test_what_some_nodes_hold_starts_on_those_alone() -> None:
    (finding,) = image(package(GONE), [holding("a", GONE), holding("b"), holding("c")])
    assert (finding.state, "1 of 3 nodes list it, not b, c" in finding.found, bool(finding.do)) == (
        "warning",
        True,
        True,
    )


def test_what_no_node_lists_is_for_the_registry_to_say(registry: RegistryServer) -> None:
    there, missing = f"{registry.name}/team/unlearning:1.0", f"{registry.name}/team/unlearning:2.0"
    found = {
        each.found.split(" ")[0].rstrip(":"): each for each in image(package(there, missing, GONE), [holding("a")])
    }
    assert {name: each.state for name, each in found.items()} == {there: "ok", missing: "failed", GONE: "unknown"}
    assert "no node lists it" in found[missing].found
    assert "no node lists it" in found[GONE].found


def test_names_are_compared_as_docker_means_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node has the registry in front of what Docker's hub would be asked for."""

    def away(*_: Any, **__: Any) -> None:
        raise requests.ConnectionError

    monkeypatch.setattr(requests, "head", away)
    (finding,) = image(package("unlearning:1.0"), [holding("a", "docker.io/library/unlearning:1.0")])
    assert finding.state == "ok"


@pytest.mark.parametrize("name", ["unlearning", "r.io/unlearning:latest"])
def test_a_tag_that_moves_fails(name: str) -> None:
    (finding,) = image(package(name))
    assert (finding.state, "UNLEARNING_IMAGE" in finding.do) == ("failed", True)


def test_the_image_of_our_pipelines_is_found() -> None:
    assert images_of(packages.compiled("pretraining")) == ["unlearning:0.1.0"]
