"""Runs on the cluster under test: started and followed by `unlearn`, disturbed and measured by Kubernetes' API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfp_server_api as api
from kubernetes import client

from pipelines.cluster.client import FINISHED, Pipelines
from pipelines.cluster.status import RunStatus, status_of
from tests.cluster import workflows
from tests.cluster.waiting import Budget
from tests.cluster.workflows import PipelineTask, TaskPath, TaskPod
from unlearning.cluster.client import TIMEOUT, Cluster, asking
from unlearning.core.errors import MissingObjectError

COMMAND_SECONDS = 180.0
"""What one command may take: it compiles a pipeline, or reads a ledger through a forwarded port."""

ARGO = {"group": "argoproj.io", "version": "v1alpha1", "plural": "workflows"}

LOOK_EVERY = 1.0
"""Seconds between two looks at the pods of a run that is to be disturbed."""

ASK_EVERY = 5.0
"""Seconds between two questions to Kubeflow."""


@dataclass(frozen=True)
class Answer:
    """What a command gave."""

    command: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed.

        Raises:
            AssertionError: it failed, or printed something else.
        """
        assert self.code == 0, self.told
        try:
            return json.loads(self.out)
        except ValueError:
            raise AssertionError(self.told) from None

    @property
    def told(self) -> str:
        """The command with all that it said."""
        return f"unlearn {' '.join(self.command)} ended with {self.code}:\n{self.out}{self.err}"


def unlearn(arguments: Sequence[object], environment: Mapping[str, str], folder: Path) -> Answer:
    """An `unlearn` command in a process of its own, in the folder."""
    command = tuple(map(str, arguments))
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-m", "unlearning.cli", *command],
        env={**os.environ, **environment, "PYTHONPATH": paths},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    return Answer(command, done.returncode, done.stdout, done.stderr)


class Server(Pipelines):
    """What the suite asks of Kubeflow Pipelines beside the command line."""

    def upload(self, path: Path, name: str) -> str:
        """Upload a compiled file as a pipeline, as the button does; returns its id."""
        call = api.PipelineUploadServiceApi(self._runs.api_client).upload_pipeline
        options = {"namespace": self.endpoint.namespace} if self.endpoint.namespace else {}
        return str(self._call(f"upload {path.name}", call, str(path), name=name, **options).pipeline_id)

    def delete_pipeline(self, identity: str) -> None:
        """Delete a pipeline with its versions."""
        service = api.PipelineServiceApi(self._runs.api_client)
        self._call("delete the pipeline", service.pipeline_service_delete_pipeline, identity, cascade=True)

    def runs_of(self, schedule: str, experiment: str) -> list[api.V2beta1Run]:
        """What a schedule has started."""
        listing = self._runs.run_service_list_runs
        found = self._named("list the runs", listing, "runs", "", experiment_id=experiment)
        return [each for each in found if each.recurring_run_id == schedule]

    def terminate(self, run: str) -> None:
        """Stop a run; nothing happens where it is over."""
        if self.run(run).state not in FINISHED:
            self._call("terminate the run", self._runs.run_service_terminate_run, run)


@dataclass
class Kubernetes:
    """What the suite does with pods and workflows of one namespace."""

    cluster: Cluster
    namespace: str
    _names: dict[str, str] = field(default_factory=dict)

    def _workflow_name(self, run: str) -> str:
        """Of the workflow of a run, which never changes.

        Raises:
            MissingObjectError: there is none yet, or no more.
        """
        if run not in self._names:
            selector = f"{workflows.RUN_LABEL}={run}"
            objects = client.CustomObjectsApi(self.cluster.core.api_client)
            with asking(self.cluster.host, f"workflows in {self.namespace}"):
                found = objects.list_namespaced_custom_object(
                    **ARGO, namespace=self.namespace, label_selector=selector, _request_timeout=TIMEOUT
                )["items"]
            if not found:
                raise MissingObjectError(f"there is no workflow with {selector} in {self.namespace}")
            self._names[run] = found[0]["metadata"]["name"]
        return self._names[run]

    def workflow(self, run: str) -> tuple[dict[str, Any], int]:
        """The workflow of a run as it is stored, and its bytes of JSON.

        Raises:
            UserError: there is none, or it may not be seen.
        """
        name = self._workflow_name(run)
        objects = client.CustomObjectsApi(self.cluster.core.api_client)
        with asking(self.cluster.host, f"workflow {name} in {self.namespace}"):
            answer = objects.get_namespaced_custom_object(
                **ARGO, namespace=self.namespace, name=name, _preload_content=False, _request_timeout=TIMEOUT
            )
        found: dict[str, Any] = json.loads(answer.data)
        return found, len(answer.data.rstrip())

    def pods(self, run: str) -> list[TaskPod]:
        """The pods of a run's tasks, those of drivers left out; none before the run has a workflow."""
        try:
            selector = f"{workflows.WORKFLOW_LABEL}={self._workflow_name(run)}"
        except MissingObjectError:
            return []
        with asking(self.cluster.host, f"pods in {self.namespace}"):
            found = self.cluster.core.list_namespaced_pod(
                self.namespace, label_selector=selector, _request_timeout=TIMEOUT
            ).items
        return [each for each in map(workflows.task_pod, found) if each is not None]

    def delete_pod(self, name: str) -> None:
        """Delete a pod by force: its container gets no time to end."""
        with asking(self.cluster.host, f"Pod {name} in {self.namespace}", "delete"):
            self.cluster.core.delete_namespaced_pod(
                name, self.namespace, grace_period_seconds=0, _request_timeout=TIMEOUT
            )


@dataclass
class Disturbance:
    """Deletes pods of some tasks while their containers run: each task once, and so many in all."""

    kubernetes: Kubernetes
    tasks: Collection[TaskPath]
    count: int = 1
    after: float = 0.0
    """Seconds that the container has run by then."""
    tell: Callable[[str], None] = print
    deleted: list[TaskPod] = field(default_factory=list)

    def look(self, run: str) -> None:
        """Delete what is due now."""
        if len(self.deleted) >= self.count:
            return
        for pod in self.kubernetes.pods(run):
            fresh = pod.path in self.tasks and pod.path not in {each.path for each in self.deleted}
            if fresh and _ran(pod) >= self.after and len(self.deleted) < self.count:
                try:
                    self.kubernetes.delete_pod(pod.name)
                except MissingObjectError:
                    continue  # it was over and removed in the meantime
                self.deleted.append(pod)
                self.tell(f"deleted pod {pod.name} of {'/'.join(pod.path)} after {_ran(pod):.0f} s")


def _ran(pod: TaskPod) -> float:
    """Seconds for which the container has run; less than nothing where it does not run."""
    return -1.0 if pod.running_since is None else (datetime.now(UTC) - pod.running_since).total_seconds()


@dataclass(frozen=True)
class Ended:
    """A run that is over, and what is known of it."""

    status: RunStatus
    spec: Mapping[str, Any]
    workflow: Mapping[str, Any]
    bytes: int
    """Of its workflow, as it is stored."""
    deleted: tuple[TaskPod, ...] = ()


def follow(server: Server, run: str, budget: Budget, limit: float, disturbance: Disturbance | None = None) -> RunStatus:
    """Wait for the end of a run, telling each change of a step.

    Raises:
        TooLongError: it is not over in time; the message has how its steps stand.
    """
    told: dict[str, str] = {}
    now = status_of(server.run(run))
    asked = time.monotonic()

    def look() -> RunStatus | None:
        nonlocal now, asked
        if time.monotonic() - asked >= ASK_EVERY:
            asked = time.monotonic()
            now = status_of(server.run(run))
        if disturbance is not None and not now.finished:
            disturbance.look(run)
        for step in now.steps:
            key = f"{step.depth} {step.name}"
            if told.get(key) != step.state:
                budget.tell(f"{now.name}: {step.name} {step.state} {step.error}".rstrip())
            told[key] = step.state
        return now if now.finished else None

    return budget.wait(f"run {now.name}", look, limit, LOOK_EVERY, lambda: now.text())


def paths(tasks: Collection[PipelineTask]) -> set[TaskPath]:
    """Where these tasks stand."""
    return {each.path for each in tasks}


def problems_with_steps(shown: Mapping[str, Any], spec: Mapping[str, Any]) -> list[str]:
    """What is wrong with the answer of `unlearn status --json` for a run that is over.

    Args:
        shown: the answer.
        spec: the compiled pipeline that was run.
    """
    steps = shown["steps"]
    named = [(each["depth"], each["name"]) for each in steps]
    problems = [f"{name} stands there {times} times" for (_, name), times in Counter(named).items() if times > 1]
    done = ("SUCCEEDED", "SKIPPED")
    problems += [f"{each['name']} is {each['state']}" for each in steps if each["state"] not in done]
    known = {name for _, name in named}
    lacking = {each.name for each in workflows.tasks_of(spec) if len(each.path) == 1} - known
    problems += [f"{name} is not told" for name in sorted(lacking)]
    every = _every_name(spec)
    problems += [f"{name} is no name of the pipeline" for name in sorted(known - every)]
    return problems


def _every_name(spec: Mapping[str, Any]) -> set[str]:
    """What people may read: names of tasks, loops, branches and inner pipelines."""
    parts = [spec["root"], *spec.get("components", {}).values()]
    tasks = [task for part in parts for task in part.get("dag", {}).get("tasks", {}).items()]
    return {str(task.get("taskInfo", {}).get("name") or key) for key, task in tasks}
