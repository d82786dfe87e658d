from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from importlib.metadata import version
from pathlib import Path

import pytest

from pipelines.cluster.doctor.mlflow import mlflow
from tests.http_server import Quiet, listening

OURS = version("mlflow")


class Server:
    """Answers like MLflow's server, as far as it is asked."""

    def __init__(self) -> None:
        self.version = OURS
        self.statuses: dict[str, int] = {}
        self.seen: list[tuple[str, str]] = []
        self.url = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.seen.append((self.path, self.headers.get("Authorization", "")))
            body = state.version.encode() if self.path == "/version" else b"{}"
            self.send_response(state.statuses.get(self.path.split("?")[0], 200))
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as state.url:
        yield state


@pytest.mark.parametrize(
    ("theirs", "state"), [(OURS, "ok"), (f"{OURS.split('.')[0]}.0.0", "warning"), ("2.9.0", "failed")]
)
def test_a_server_is_judged_by_its_release(server: Server, theirs: str, state: str) -> None:
    server.version = theirs
    (finding,) = mlflow(server.url)
    assert (finding.state, theirs in finding.found) == (state, True)


@pytest.mark.parametrize(("status", "advice"), [(401, "MLFLOW_TRACKING_TOKEN"), (403, "--allowed-hosts"), (500, "log")])
def test_a_server_that_refuses(server: Server, status: int, advice: str) -> None:
    server.statuses["/api/2.0/mlflow/registered-models/search"] = status
    (finding,) = mlflow(server.url)
    assert (finding.state, advice in finding.do) == ("failed", True)


def test_no_server_there() -> None:
    (finding,) = mlflow("http://127.0.0.1:9")
    assert (finding.state, "does not answer" in finding.found) == ("failed", True)


def test_credentials_are_sent_and_not_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-token")
    (finding,) = mlflow(server.url.replace("//", "//user:pass@"))
    assert "pass" not in finding.line()
    list(mlflow(server.url))
    assert server.seen[-1][1] == "Bearer a-token"


def test_a_local_database_is_not_made_by_looking(tmp_path: Path) -> None:
    (finding,) = mlflow(f"sqlite:///{tmp_path}/mlflow.db")
    assert (finding.state, "no database yet" in finding.found) == ("ok", True)
    assert list(tmp_path.iterdir()) == []


def test_another_kind_of_address_is_no_verdict() -> None:
    (finding,) = mlflow("postgresql://user:pass@host/db")
    assert (finding.state, "pass" in finding.line()) == ("unknown", False)
