"""`unlearn doctor` as people and scripts call it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from kubernetes import client

from tests.pipelines.kfp_server import serving
from tests.pipelines.kubernetes_server import KUBECONFIG, Kubernetes, node, write_kubeconfig
from tests.pipelines.kubernetes_server import serving as kubernetes_serving

Cli = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "UNLEARNING_KFP_ENDPOINT", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("UNLEARNING_SIGNING_KEY", "UNLEARNING_SIGNING_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(KUBECONFIG, str(tmp_path / "kubeconfig"))


def states(answer: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in json.loads(answer.out)["findings"]:
        found.setdefault(each["check"], set()).add(each["state"])
    return found


def test_on_one_machine_nothing_fails_and_nothing_is_left_behind(cli: Cli, home: Path) -> None:
    answer = cli("doctor", "--json")
    assert answer.code == 0
    assert states(answer) == {
        "folders": {"ok"}, "signing key": {"unknown"}, "store": {"ok"}, "mlflow": {"ok"}, "kubeflow": {"unknown"},
        "clock": {"unknown"}, "kubernetes": {"unknown"},
    }  # fmt: skip
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_people_read_a_line_for_each(cli: Cli) -> None:
    lines = cli("doctor", "--no-kubernetes").out.splitlines()
    assert [line.split()[0] for line in lines] == ["ok", "ok", "ok", "unknown", "ok", "ok", "unknown", "unknown"]


def test_what_fails_is_the_exit_code(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    answer = cli("doctor", "--json", "--no-kubernetes")
    assert (answer.code, states(answer)["mlflow"]) == (3, {"failed"})


def test_a_pipelines_parameters_are_looked_at(cli: Cli) -> None:
    answer = cli("doctor", "pretraining", "--param", "sed=1", "--no-kubernetes", "--json")
    assert (answer.code, states(answer)["parameters"]) == (3, {"failed"})
    answer = cli("doctor", "pretraining", "--param", "seed=1", "--no-kubernetes", "--json")
    assert (answer.code, states(answer)["parameters"]) == (0, {"ok"})


def test_a_whole_cluster(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARNING_KFP_TOKEN", "right")
    with serving() as kubeflow, kubernetes_serving(Kubernetes()) as kubernetes:
        write_kubeconfig(tmp_path / "kubeconfig", kubernetes.url)
        kubernetes.nodes = [node("a", 4)]
        answer = cli("doctor", "--endpoint", kubeflow.url, "--gpus", 8, "--json")
    found = states(answer)
    assert answer.code == 3
    assert (found["kubeflow"], found["clock"]) == ({"ok"}, {"ok"})
    assert (found["namespace"], found["gpus"]) == ({"failed"}, {"failed"})


@pytest.mark.parametrize(
    ("several", "given", "looked"),
    [(False, [], "kubeflow"), (True, [], "unlearning"), (False, ["--namespace", "mine"], "mine")],
)
def test_the_kind_of_kubeflow_says_which_namespace_is_looked_at(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: bool, given: list[str], looked: str
) -> None:
    monkeypatch.setenv("UNLEARNING_KFP_TOKEN", "right")
    with serving() as kubeflow, kubernetes_serving(Kubernetes()) as kubernetes:
        write_kubeconfig(tmp_path / "kubeconfig", kubernetes.url)
        kubeflow.several_users = several
        found = states(cli("doctor", "--endpoint", kubeflow.url, *given, "--json"))
    spaces = {path.split("/")[4] for _, path in kubernetes.asked if path.startswith("/api/v1/namespaces/")}
    assert spaces == {looked}
    assert (found["runs"], found["launcher"]) == ({"failed"}, {"failed"})


def test_an_image_is_looked_for_on_the_nodes(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "head", away)
    with kubernetes_serving(Kubernetes()) as kubernetes:
        write_kubeconfig(tmp_path / "kubeconfig", kubernetes.url)
        holding = node("a")
        holding.status.images = [client.V1ContainerImage(names=["docker.io/library/unlearning:0.1.0"])]
        kubernetes.nodes = [holding]
        assert states(cli("doctor", "pretraining", "--json"))["image"] == {"ok"}
    assert states(cli("doctor", "pretraining", "--no-kubernetes", "--json"))["image"] == {"unknown"}


def away(*_: Any, **__: Any) -> None:
    """No registry answers."""
    raise requests.ConnectionError


def test_several_nodes_are_looked_at(cli: Cli, tmp_path: Path) -> None:
    with kubernetes_serving(Kubernetes()) as kubernetes:
        write_kubeconfig(tmp_path / "kubeconfig", kubernetes.url)
        kubernetes.nodes = [node("a", 4)]
        answer = cli("doctor", "--nodes", 2, "--node-gpus", 4, "--json")
    found = states(answer)
    assert (found["trainer"], found["gpus"]) == ({"failed"}, {"ok", "failed"})


def test_bad_input_is_told_in_one_line(cli: Cli) -> None:
    answer = cli("doctor", "nothing")
    assert (answer.code, answer.out) == (2, "")
    assert "no pipeline is called 'nothing'" in answer.error
    answer = cli("doctor", "--node-gpus", 4, "--no-kubernetes")
    assert (answer.code, answer.out) == (2, "")
    assert "node_gpus are for a training on several nodes" in answer.error
