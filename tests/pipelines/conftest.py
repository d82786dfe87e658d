"""Kubeflow's API on localhost, and a small pipeline to send there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.cluster.client import Endpoint, Pipelines
from tests.pipelines.kfp_server import Kubeflow, serving


@pytest.fixture
def kubeflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    for name in ("UNLEARNING_KFP_ENDPOINT", "UNLEARNING_KFP_TOKEN", "UNLEARNING_KFP_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with serving() as running:
        yield running


@pytest.fixture
def server(kubeflow: Kubeflow, tmp_path: Path) -> Pipelines:
    path = tmp_path / "token"
    path.write_text("right\n")
    return Pipelines(Endpoint(kubeflow.url, token_file=path))
