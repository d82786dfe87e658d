"""PostgreSQL, an object store and MLflow's server on this machine, put together as the manifests do: for tests.

The object store is moto's, since it honours conditional writes; the other two are what runs on a cluster.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
REQUIRED = "REQUIRE_SERVICES"
"""Where this is set, tests fail that would be skipped because PostgreSQL is not installed."""
BUCKET = "unlearning"
USER, DATABASE = "mlflow", "postgres"
"""The database is the one that `initdb` makes."""
PATIENCE = 120.0
"""Seconds after which a service is taken not to start."""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test-key-id", "AWS_SECRET_ACCESS_KEY": "test-secret-that-must-not-leak"}
FOREIGN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "http_proxy")
"""Settings of the developer's own that would lead elsewhere."""


@dataclass(frozen=True)
class Services:
    """What runs, and how a task reaches it."""

    environment: dict[str, str]
    """Of a task: the settings that the manifests give it, with addresses of this machine."""
    database: str
    """PostgreSQL's address."""
    folder: Path
    """Logs of the services."""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def postgres_programs() -> Path | None:
    """Where Debian, or the PATH, has PostgreSQL's server programs."""
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return debian[-1].parent if debian else Path(found).resolve().parent if found else None


def need_services() -> None:
    """Skip the test where PostgreSQL is not installed, or fail where it must be."""
    if postgres_programs() is None:
        message = "PostgreSQL's server is not installed: apt-get install postgresql"
        if os.environ.get(REQUIRED):
            pytest.fail(message)
        pytest.skip(message)


def wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - of this machine
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)


@contextmanager
def postgres() -> Iterator[str]:
    """An empty database of its own; yields its address. The server refuses root, so root gives it to `postgres`."""
    programs = postgres_programs()
    assert programs is not None
    user: dict[str, Any] = {}
    # Not below pytest's folder: that is closed to others, and the path of a socket has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if os.geteuid() == 0:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
    data, log, port = str(folder / "data"), str(folder / "log"), free_port()
    run: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder, **user}
    control = [str(programs / "pg_ctl"), "--pgdata", data, "--wait"]
    try:
        command = [str(programs / "initdb"), "--pgdata", data, "--auth", "trust", "--username", USER, "--no-sync"]
        subprocess.run(command, **run)
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        subprocess.run([*control, "--log", log, "--options", options, "start"], **run)
        try:
            yield f"postgresql://{USER}@127.0.0.1:{port}/{DATABASE}"
        finally:
            subprocess.run([*control, "--mode", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder)


@contextmanager
def object_store() -> Iterator[str]:
    """Moto's S3 in this process; yields its address."""
    # Imported here: most tests can do without its second.
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    put, one_by_one = S3Response.put_object, threading.Lock()

    def put_in_one_step(response: Any) -> Any:
        """S3 looks for the object and writes it at once; moto does one after the other, so that two may win."""
        with one_by_one:
            return put(response)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Response, "put_object", put_in_one_step)
        started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        started.start()
        host, port = started.get_host_and_port()
        yield f"http://{host}:{port}"
        started.stop()


def reaching(store: str, folder: Path) -> dict[str, str]:
    """The environment in which boto3 finds the object store, and nothing of the developer's own."""
    return CREDENTIALS | {
        "AWS_ENDPOINT_URL": store,
        "MLFLOW_S3_ENDPOINT_URL": store,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
    }


def _container() -> dict[str, Any]:
    """MLflow's container, as the manifests have it."""
    documents = yaml.safe_load_all((ROOT / "manifests/base/mlflow.yaml").read_text())
    (deployment,) = [each for each in documents if each["kind"] == "Deployment"]
    container: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return container


@contextmanager
def mlflow_server(
    database: str, environment: Mapping[str, str], folder: Path, changed: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
    """MLflow's server with the command of its manifest, but for arguments that are changed; yields its address."""
    container, port = _container(), free_port()
    changed = {"--host": "127.0.0.1", "--port": str(port), **changed}
    arguments = [
        f"{name}={changed.get(name, value)}" if value else name
        for name, _, value in (argument.partition("=") for argument in container["args"])
    ]
    literal = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    log = folder / "mlflow.log"
    with log.open("wb") as written:
        server = subprocess.Popen(
            [Path(sys.executable).with_name("mlflow"), *container["command"][1:], *arguments],
            env={**os.environ, **environment, **literal, "MLFLOW_BACKEND_STORE_URI": database},
            cwd=folder,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(server, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(PATIENCE)


@contextmanager
def running(folder: Path) -> Iterator[Services]:
    """All of them, with an empty bucket that keeps every version of an object."""
    need_services()
    with ExitStack() as stack:
        database = stack.enter_context(postgres())
        store = stack.enter_context(object_store())
        environment = reaching(store, folder)
        bucket = client(environment)
        bucket.create_bucket(Bucket=BUCKET)
        bucket.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        tracking = stack.enter_context(mlflow_server(database, environment, folder))
        environment |= {
            "UNLEARNING_STORE": f"s3://{BUCKET}/store",
            "MLFLOW_TRACKING_URI": tracking,
            "UNLEARNING_MLFLOW_ARTIFACTS": f"s3://{BUCKET}/mlflow",
        }
        yield Services(environment=environment, database=database, folder=folder)


def client(environment: Mapping[str, str]) -> Any:
    """boto3's client of the object store."""
    import boto3

    return boto3.session.Session().client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )
