"""TrainJobs of Kubeflow Trainer: made, followed and deleted by the official Kubernetes client.

What is the same for all of them (volumes, credentials, who may talk to whom) stands in the TrainingRuntime of the
manifests, so that whoever runs the cluster can see and change it. Trainer starts the processes: it tells torchrun
in the environment (`PET_…`) how many there are and where they meet.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Literal, NamedTuple

from kubernetes import client

from unlearning.cluster import names
from unlearning.cluster.client import TIMEOUT, asking, configured
from unlearning.cluster.names import GPU, TRAINER_GROUP, TRAINER_VERSION
from unlearning.cluster.workers import Workers
from unlearning.core.errors import MissingObjectError, UserError

MANAGER = f"{TRAINER_GROUP}/unlearning"
"""Who patched the runtime."""

POLL = 10.0
"""Seconds between two looks."""

PATIENCE = 600.0
"""Seconds for which the Kubernetes API may not answer, before the TrainJob counts as lost."""

State = Literal["waiting", "complete", "failed"]


class Owner(NamedTuple):
    """The pod of the task that a TrainJob belongs to: Kubernetes deletes the one with the other."""

    name: str
    uid: str


class Seen(NamedTuple):
    """A TrainJob at one look."""

    state: State
    said: str
    """What there is to tell of it."""


def train_job(
    name: str, command: Sequence[str], workers: Workers, *, image: str, namespace: str, owner: Owner | None
) -> dict[str, Any]:
    """The object: `command` on every process of every node.

    Where nodes of one kind are wanted, the runtime is patched, which Trainer knows of since version 2.2.
    """
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": names.PART}
    if owner is not None:
        metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", **owner._asdict()}]
    trainer: dict[str, Any] = {
        "image": image,
        "command": ["torchrun", "--no-python"],
        "args": list(command),
        "numNodes": workers.nodes,
        "numProcPerNode": workers.on_each(0),
    }
    if workers.node_gpus:
        count = {GPU: str(workers.node_gpus)}
        trainer["resourcesPerNode"] = {"requests": count, "limits": count}
    spec: dict[str, Any] = {
        "runtimeRef": {"apiGroup": TRAINER_GROUP, "kind": "TrainingRuntime", "name": names.TRAINING_RUNTIME},
        "trainer": trainer,
    }
    if workers.gpu_nodes:
        spec["runtimePatches"] = [{"manager": MANAGER, "trainingRuntimeSpec": _on_nodes(workers.gpu_nodes)}]
    return {"apiVersion": f"{TRAINER_GROUP}/{TRAINER_VERSION}", "kind": "TrainJob", "metadata": metadata, "spec": spec}


def _on_nodes(labels: dict[str, str]) -> dict[str, Any]:
    """Patch of a runtime: its pods on nodes with these labels alone."""
    job = {"name": "node", "template": {"spec": {"template": {"spec": {"nodeSelector": labels}}}}}
    return {"template": {"spec": {"replicatedJobs": [job]}}}


class TrainJobs:
    """TrainJobs of one namespace, as whoever the kubeconfig or the pod's service account stands for."""

    def __init__(self, namespace: str) -> None:
        """
        Raises:
            UserError: nothing tells where a cluster is.
        """
        configuration = configured()
        self.host, self.namespace = str(configuration.host), namespace
        self.api = client.CustomObjectsApi(client.ApiClient(configuration))
        kind = {"group": TRAINER_GROUP, "version": TRAINER_VERSION, "plural": "trainjobs"}
        self.given: dict[str, Any] = {**kind, "namespace": namespace, "_request_timeout": TIMEOUT}

    def _asking(self, name: str, verb: str = "look at") -> AbstractContextManager[None]:
        return asking(self.host, f"TrainJob {name} in {self.namespace}", verb)

    def create(self, job: dict[str, Any]) -> None:
        """Start one.

        Raises:
            UserError: Trainer is not installed, or does not take it.
        """
        try:
            with self._asking(job["metadata"]["name"], "create"):
                self.api.create_namespaced_custom_object(**self.given, body=job)
        except MissingObjectError:
            raise UserError(
                f"{self.host} knows no TrainJobs in {self.namespace}: install Kubeflow Trainer, or train on one node"
            ) from None

    def look(self, name: str) -> Seen:
        """How one is.

        Raises:
            UserError: it is gone, or the API does not answer.
        """
        with self._asking(name):
            found = self.api.get_namespaced_custom_object(**self.given, name=name)
        return seen(found.get("status") or {})

    def follow(self, name: str, *, poll: float = POLL, patience: float = PATIENCE) -> None:
        """Wait until it is complete, telling what changes.

        Raises:
            UserError: it failed, it is gone, or the API has not answered for `patience` seconds.
        """
        told, answered = "", time.monotonic()
        while True:
            try:
                now = self.look(name)
                answered = time.monotonic()
            except MissingObjectError:
                raise UserError(f"TrainJob {name} was deleted before it ended: run the task again") from None
            except UserError as error:
                if time.monotonic() - answered > patience:
                    raise
                now = Seen("waiting", str(error))
            if now.said != told:
                told = now.said
                print(f"TrainJob {name}: {told}", file=sys.stderr, flush=True)
            if now.state == "failed":
                raise UserError(f"TrainJob {name} failed: {told}; its pods' logs say why")
            if now.state == "complete":
                return
            time.sleep(poll)

    def delete(self, name: str) -> None:
        """Delete one with its pods; nothing happens where it is gone."""
        with suppress(MissingObjectError), self._asking(name, "delete"):
            self.api.delete_namespaced_custom_object(**self.given, name=name, propagation_policy="Foreground")


def seen(status: dict[str, Any]) -> Seen:
    """What a TrainJob's status says: Trainer sets the conditions Complete, Failed and Suspended."""
    true = {each["type"]: each for each in status.get("conditions") or () if each.get("status") == "True"}
    if "Failed" in true:
        return Seen("failed", _words(true["Failed"]))
    if "Complete" in true:
        return Seen("complete", "complete")
    if "Suspended" in true:
        return Seen("waiting", f"suspended, {_words(true['Suspended'])}")
    jobs = {each["name"]: each for each in status.get("jobsStatus") or ()}
    node = jobs.get("node", {})
    return Seen("waiting", f"{node['active']} active, {node['ready']} ready" if node else "not started yet")


def _words(condition: dict[str, Any]) -> str:
    return str(condition.get("message") or condition.get("reason") or "no reason given")
