"""Kubeflow Trainer on localhost: takes what its published models take, and really starts the nodes of a TrainJob."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from manifests.trainer_schema import against_trainer
from tests.pipelines.kubernetes_server import Kubernetes, status
from tests.services import free_port
from unlearning.cluster import names

JOBS = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{names.NAMESPACE}/trainjobs"


class Trainer(Kubernetes):
    """TrainJobs by name; the nodes of one are processes of this machine, each with its torchrun."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.jobs: dict[str, Any] = {}
        self.created: list[Any] = []
        self.deleted: list[str] = []
        self.nodes_of: dict[str, list[subprocess.Popen[bytes]]] = {}
        self.starts = True
        """Whether there is room for nodes."""
        self.status: dict[str, Any] | None = None
        """Said of every job, instead of what its nodes are."""
        self.away = 0
        """How often it does not answer before it does."""

    def create(self, path: str, body: Any) -> tuple[int, Any]:
        if path != JOBS:
            return super().create(path, body)
        if problems := list(against_trainer(body)):
            return 422, status(422, "; ".join(problems))
        name = body["metadata"]["name"]
        if name in self.jobs:
            return 409, status(409, f"{name} already exists")
        self.jobs[name] = body
        self.created.append(body)
        if self.starts:
            self._start(name, body["spec"]["trainer"])
        return 201, body

    def _start(self, name: str, trainer: Any) -> None:
        port = free_port()
        for number in range(trainer["numNodes"]):
            told = {
                "PET_NNODES": str(trainer["numNodes"]),
                "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
                "PET_NODE_RANK": str(number),
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": str(port),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            }
            with (self.folder / f"{name}-{number}.log").open("wb") as log:
                command = [*trainer["command"], *trainer["args"]]
                started = subprocess.Popen(command, env=os.environ | told, stdout=log, stderr=log)
            self.nodes_of.setdefault(name, []).append(started)

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if not path.startswith(f"{JOBS}/"):
            return super().answer(path, query)
        if self.away:
            self.away -= 1
            return 503, status(503, "starting")
        name = path.removeprefix(f"{JOBS}/")
        if name not in self.jobs:
            return 404, status(404, f"{name} not found")
        return 200, self.jobs[name] | {"status": self.status if self.status is not None else self._status(name)}

    def _status(self, name: str) -> dict[str, Any]:
        codes = [node.poll() for node in self.nodes_of.get(name, [])]
        if any(codes):
            return conditions("Failed", "a node failed")
        if codes and None not in codes:
            return conditions("Complete", "all nodes are done")
        job = {"name": "node", "active": len(codes), "ready": len(codes), "succeeded": 0, "failed": 0, "suspended": 0}
        return {"jobsStatus": [job]} if codes else {}

    def delete(self, path: str) -> tuple[int, Any]:
        name = path.removeprefix(f"{JOBS}/")
        if name not in self.jobs:
            return 404, status(404, f"{name} not found")
        del self.jobs[name]
        self.deleted.append(name)
        for node in self.nodes_of.get(name, []):
            node.kill()
            node.wait()
        return 200, status(200, "deleted")


def conditions(kind: str, message: str) -> dict[str, Any]:
    """The status of a TrainJob that is in one condition."""
    true = {"type": kind, "status": "True", "reason": kind, "message": message, "lastTransitionTime": "2026-01-01"}
    return {"conditions": [true]}
