"""Whether MLflow answers, and is of the release this library was tested with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import requests

from pipelines.cluster.doctor.findings import Finding
from unlearning.registry.client import without_password

TIMEOUT = 10.0


def mlflow(uri: str) -> Iterator[Finding]:
    """Ask a server for its version and for one registered model; look whether a database's folder is there."""
    shown, ours = without_password(uri), version("mlflow")
    if uri.startswith("sqlite:///"):
        database = Path(uri.removeprefix("sqlite:///"))
        there = "a database" if database.exists() else "no database yet: the first run makes it"
        yield Finding(check="mlflow", state="ok", found=f"{shown}: {there}")
        return
    if not uri.startswith(("http://", "https://")):
        yield Finding(check="mlflow", state="unknown", found=f"{shown} is neither a server nor SQLite: not looked at")
        return
    try:
        theirs = _get(f"{uri.rstrip('/')}/version").text.strip()
        _get(f"{uri.rstrip('/')}/api/2.0/mlflow/registered-models/search?max_results=1")
    except requests.HTTPError as error:
        yield _refused(shown, error.response.status_code)
        return
    except requests.RequestException as error:
        reason = type(error).__name__
        do = "look at MLFLOW_TRACKING_URI, the server's pod, and the NetworkPolicies on the way"
        yield Finding(check="mlflow", state="failed", found=f"{shown} does not answer ({reason})", do=do)
        return
    if theirs.split(".")[0] != ours.split(".")[0]:
        do = f"run the server from the image of this library, which has {ours}"
        yield Finding(check="mlflow", state="failed", found=f"{shown} is {theirs}", do=do)
    elif theirs != ours:
        yield Finding(
            check="mlflow", state="warning", found=f"{shown} is {theirs}; this library was tested with {ours}"
        )
    else:
        yield Finding(check="mlflow", state="ok", found=f"{shown}: {theirs}, and its registry answers")


def _get(url: str) -> requests.Response:
    """With the credentials that MLflow's own client would send."""
    environment = os.environ.get
    token = environment("MLFLOW_TRACKING_TOKEN")
    user, password = environment("MLFLOW_TRACKING_USERNAME"), environment("MLFLOW_TRACKING_PASSWORD")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = requests.get(url, timeout=TIMEOUT, headers=headers, auth=(user, password) if user and password else None)
    answer.raise_for_status()
    return answer


def _refused(shown: str, status: int) -> Finding:
    advice = {
        401: "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        403: "the server may not know the name it is called by: see --allowed-hosts in manifests/base/mlflow.yaml",
        404: "this is not MLflow's address: look at MLFLOW_TRACKING_URI",
    }
    do = advice.get(status, "look at the server's log; after a new release, mlflow db upgrade may be missing")
    return Finding(check="mlflow", state="failed", found=f"{shown} answers with status {status}", do=do)
