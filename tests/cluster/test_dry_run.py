"""The suite of `make test-cluster` as it stands, on a simulated backend whose runs are done by kfp.local.

Store, registry, ledger and certificates are real; what a cluster adds (pods, workflows, retries, schedules, GPUs) is
simulated.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from tests.cluster import access, flow
from tests.cluster.simulated import Backend, Namespace, serving
from tests.pipelines import kubernetes_server
from tests.pipelines.kubernetes_server import node
from unlearning.cluster import names

ROOT = Path(__file__).parents[2]
PATIENCE = 1500.0
"""Seconds; where other tests run beside it, it takes many minutes."""
SPACE = "/api/v1/namespaces/elsewhere"

DONE_HERE = """\
import json, sys
from pathlib import Path
from pipelines.compile import load
from pipelines.local.runner import hand_down, running
from unlearning.core import settings

pipeline, folder, parameters = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
hand_down(settings.from_environment())
folder.mkdir(parents=True)
with running(folder, quiet=True):
    load(pipeline)(**parameters)
"""


class Machine:
    """Does the work of runs in a folder, with the settings that a cluster would give them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = {
            "UNLEARNING_HOME": str(folder / "home"),
            "UNLEARNING_DATA": str(folder / "data"),
            "UNLEARNING_STORE": str(folder / "home" / "store"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'home' / 'mlflow.db'}",
            "UNLEARNING_SIGNING_KEY_FILE": str(folder / "signing.pem"),
            "UNLEARNING_COMMIT": "test",
            "OMP_NUM_THREADS": "1",
        }
        folder.mkdir()
        self.python("-m", "unlearning.cli", "keys", "new", "--out", "signing.pem", "--keyring", "keyring.json")

    def python(self, *arguments: str) -> None:
        environment = {**os.environ, **self.settings, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def work(self, pipeline: str, run: str, parameters: Mapping[str, Any]) -> None:
        self.python("-W", "ignore", "-c", DONE_HERE, pipeline, str(self.folder / "home" / run), json.dumps(parameters))

    def objects(self) -> dict[str, Any]:
        """What the manifests leave in the namespace."""

        def encoded(files: Mapping[str, str]) -> client.V1Secret:
            return client.V1Secret(data={key: base64.b64encode(each.encode()).decode() for key, each in files.items()})

        keys = {name: (self.folder / name).read_text() for name in ("signing.pem", "keyring.json")}
        told = dict.fromkeys(names.REQUIRED_SETTINGS, "-") | self.settings
        metadata = client.V1ObjectMeta(name="elsewhere")
        return {
            SPACE: client.V1Namespace(metadata=metadata),
            f"{SPACE}/configmaps/{names.SETTINGS}": client.V1ConfigMap(data=told),
            f"{SPACE}/secrets/{names.OBJECT_STORE}": encoded(dict.fromkeys(names.OBJECT_STORE_KEYS, "unused")),
            f"{SPACE}/secrets/{names.SIGNING_KEY}": encoded(keys),
            f"{SPACE}/persistentvolumeclaims/{names.CACHE}": client.V1PersistentVolumeClaim(
                spec=client.V1PersistentVolumeClaimSpec(),
                status=client.V1PersistentVolumeClaimStatus(phase="Bound"),
            ),
            f"{SPACE}/serviceaccounts/{names.SERVICE_ACCOUNT}": client.V1ServiceAccount(metadata=metadata),
            f"{SPACE}/resourcequotas": client.V1ResourceQuotaList(items=[]),
        }


@pytest.mark.nightly
@pytest.mark.timeout(PATIENCE + 60)
def test_the_suite_passes_on_a_simulated_backend(tmp_path: Path) -> None:
    machine, namespace = Machine(tmp_path / "machine"), Namespace("elsewhere")
    namespace.objects, namespace.nodes = machine.objects(), [node("a", gpus=1)]
    held = dict.fromkeys(("pretrain", *flow.EFFECTS), 5.0)
    with kubernetes_server.serving(namespace), serving(Backend(namespace, machine.work, held)) as backend:
        kubernetes_server.write_kubeconfig(tmp_path / "kubeconfig", namespace.url)
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-n", "0", "-m", "cluster", "-rs", "-p", "no:cacheprovider",
                "--basetemp", str(tmp_path / "pytest"), "tests/cluster/test_suite.py",
            ],
            env={name: value for name, value in os.environ.items() if not name.startswith(("UNLEARNING_", "MLFLOW_"))}
            | {
                access.ENDPOINT: backend.url,
                access.IMAGE: "registry.example/unlearning:1",
                access.NAMESPACE: "elsewhere",
                "UNLEARNING_KFP_TOKEN": "right",
                "KUBECONFIG": str(tmp_path / "kubeconfig"),
                "PYTHONPATH": str(ROOT),
            },
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"\d+ passed", done.stdout)
        assert "skipped" not in done.stdout
        assert (backend.schedules, backend.pipelines) == ({}, {})
        assert {run.state for run in backend.runs.values()} == {"SUCCEEDED", "CANCELED"}
