from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.cluster.client import Endpoint
from pipelines.cluster.doctor.kubeflow import kubeflow as check
from tests.pipelines.kfp_server import Kubeflow
from unlearning.core.errors import UserError


@pytest.fixture
def endpoint(kubeflow: Kubeflow, tmp_path: Path) -> Endpoint:
    (tmp_path / "token").write_text("right")
    return Endpoint(kubeflow.url, "ours", tmp_path / "token")


def test_it_answers_and_nothing_is_made(kubeflow: Kubeflow, endpoint: Endpoint) -> None:
    (finding,) = check(endpoint)
    assert (finding.state, "a single user" in finding.found) == ("ok", True)
    assert "will be made" in finding.found
    assert kubeflow.asked == ["GET /healthz", "GET /experiments"]


def test_several_users_are_told_apart_by_namespace(kubeflow: Kubeflow, endpoint: Endpoint) -> None:
    kubeflow.several_users = True
    (finding,) = check(endpoint)
    assert "several users, namespace ours" in finding.found


def test_a_wrong_token_and_a_wrong_address(kubeflow: Kubeflow, endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wrong")
    with pytest.raises(UserError, match=r"401 .*give a token"):
        list(check(endpoint))
    with pytest.raises(UserError, match="does not answer"):
        list(check(replace(endpoint, url="http://127.0.0.1:9")))
