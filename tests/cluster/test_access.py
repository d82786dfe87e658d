from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from tests.cluster import access
from tests.cluster.access import Forward, ServiceAddress, missing, sentence, service_address
from tests.pipelines import kubernetes_server
from tests.pipelines.kubernetes_server import Kubernetes
from unlearning.cluster import names
from unlearning.cluster.client import Cluster
from unlearning.compliance.certificates import keys
from unlearning.core.errors import UserError

SPACE = "/api/v1/namespaces/elsewhere"
ENVIRONMENT = {
    access.ENDPOINT: "http://127.0.0.1:8888", access.IMAGE: "registry/unlearning:1", access.NAMESPACE: "elsewhere",
}  # fmt: skip


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubernetes]:
    with kubernetes_server.reached(Kubernetes(), tmp_path, monkeypatch) as running:
        running.objects = {
            f"{SPACE}/configmaps/{names.SETTINGS}": client.V1ConfigMap(
                data={
                    "UNLEARNING_STORE": "s3://unlearning/store",
                    "MLFLOW_TRACKING_URI": "http://unlearning-mlflow:5000",
                    "AWS_ENDPOINT_URL": "http://seaweedfs.kubeflow:9000",
                    "MLFLOW_S3_ENDPOINT_URL": "http://seaweedfs.kubeflow:9000",
                    "UNLEARNING_HOME": "/cache/home",
                }
            ),
            f"{SPACE}/secrets/{names.OBJECT_STORE}": held({"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "x"}),
            f"{SPACE}/services/unlearning-mlflow": client.V1Service(),
            "/api/v1/namespaces/kubeflow/services/seaweedfs": client.V1Service(),
        }
        yield running


def held(data: dict[str, str]) -> client.V1Secret:
    return client.V1Secret(data={key: base64.b64encode(value.encode()).decode() for key, value in data.items()})


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[ServiceAddress]:
    """Ports that were opened, none of them in truth."""
    found: list[ServiceAddress] = []
    monkeypatch.setattr(Forward, "ensure", lambda forward: found.append(forward.address))
    return found


def test_what_is_missing_is_named_in_one_line(kubernetes: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    assert missing(ENVIRONMENT) == []
    for name in access.REQUIRED:
        (lacking,) = missing({**ENVIRONMENT, name: ""})
        assert lacking.startswith(f"{name} (")
        assert "\n" not in sentence([lacking])


def test_without_kubeconfig_and_kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_server.KUBECONFIG, str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert [each.split()[0] for each in missing(ENVIRONMENT)] == ["KUBECONFIG", "kubectl"]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://unlearning-mlflow:5000", ServiceAddress("unlearning-mlflow", "elsewhere", 5000)),
        ("http://seaweedfs.kubeflow:9000", ServiceAddress("seaweedfs", "kubeflow", 9000)),
        ("https://store.other.svc", ServiceAddress("store", "other", 443)),
        ("http://store.other.svc.cluster.local", ServiceAddress("store", "other", 80)),
        ("https://s3.eu-central-1.amazonaws.com", None),
        ("http://127.0.0.1:9000", None),
        ("http://localhost:9000", None),
        ("sqlite:////tmp/mlflow.db", None),
    ],
)
def test_the_service_that_an_address_may_name(url: str, found: ServiceAddress | None) -> None:
    assert service_address(url, "elsewhere") == found


def test_settings_of_the_tasks_with_ports_that_lead_there(kubernetes: Kubernetes, opened: list[ServiceAddress]) -> None:
    with access.reached(Cluster(), ENVIRONMENT) as place:
        mlflow, store = place.forwards
        assert place.settings == {
            "UNLEARNING_STORE": "s3://unlearning/store",
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow.port}",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.port}",
            "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{store.port}",
            "AWS_ACCESS_KEY_ID": "me",
            "AWS_SECRET_ACCESS_KEY": "x",
        }
        assert (place.endpoint, place.image, place.namespace) == tuple(ENVIRONMENT.values())
        place.ensure()
    wanted = [ServiceAddress("unlearning-mlflow", "elsewhere", 5000), ServiceAddress("seaweedfs", "kubeflow", 9000)]
    assert opened == wanted * 2


def test_the_environment_comes_first(kubernetes: Kubernetes, opened: list[ServiceAddress]) -> None:
    given = {
        "UNLEARNING_STORE": "s3://mine", "MLFLOW_TRACKING_URI": "https://mlflow.example.com",
        "AWS_ENDPOINT_URL": "https://store.example.com", "MLFLOW_S3_ENDPOINT_URL": "https://store.example.com",
        "AWS_ACCESS_KEY_ID": "mine",
    }  # fmt: skip
    with access.reached(Cluster(), ENVIRONMENT | given) as place:
        assert place.settings == {key: value for key, value in given.items() if key != "AWS_ACCESS_KEY_ID"}
    assert opened == []


def test_an_address_with_two_names_is_outside_where_no_service_has_them(kubernetes: Kubernetes) -> None:
    assert access.inside(Cluster(), "http://seaweedfs.kubeflow:9000", "elsewhere") is not None
    assert access.inside(Cluster(), "http://example.com", "elsewhere") is None


def test_a_port_is_opened_by_kubectl(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Forward(ServiceAddress("mlflow", "elsewhere", 5000))
    assert forward.command == [
        "kubectl", "--namespace", "elsewhere", "port-forward", "--address", "127.0.0.1", "service/mlflow",
        f"{forward.port}:5000",
    ]  # fmt: skip
    serve = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(forward.port)]
    monkeypatch.setattr(Forward, "command", serve)
    for _ in range(2):
        forward.ensure()
        first = forward._process
        forward.ensure()
        assert forward._process is first, "what is open is left open"
        assert first is not None
        first.kill()
        first.wait()
    forward.ensure()
    forward.close()
    assert not access._open(forward.port)


def test_a_port_that_cannot_be_opened_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Forward, "command", [sys.executable, "-c", "import sys; sys.exit('no such service')"])
    with pytest.raises(UserError, match="port to mlflow in elsewhere: no such service"):
        Forward(ServiceAddress("mlflow", "elsewhere", 5000)).ensure()


def test_keys_that_verify(kubernetes: Kubernetes, tmp_path: Path) -> None:
    def options(keyring: str = "") -> list[str]:
        return access.verification_keys(Cluster(), "elsewhere", tmp_path / "keys", keyring)

    assert options("mine.json") == ["--keyring", "mine.json"]
    private = keys.new()
    keys.write_private(private, tmp_path / "signing.pem")
    kubernetes.objects[f"{SPACE}/secrets/{names.SIGNING_KEY}"] = held(
        {"signing.pem": (tmp_path / "signing.pem").read_text()}
    )
    option, path = options()
    assert (option, keys.load_public(Path(path))) == ("--key", keys.raw_public(private))
    assert [each.name for each in (tmp_path / "keys").iterdir()] == ["public.pem"], "the key itself is not kept"

    kubernetes.objects[f"{SPACE}/secrets/{names.SIGNING_KEY}"] = held({"signing.pem": "x", "keyring.json": "{}"})
    option, path = options()
    assert (option, Path(path).read_text()) == ("--keyring", "{}")
