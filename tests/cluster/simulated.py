"""Kubeflow and Kubernetes on localhost that behave as a backend does, as far as the suite looks: for its own tests.

A run's tasks have pods, one after another, whose deletion is counted as a lost attempt and tried again. What a run does
to store and registry is done by `work`, or not at all.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import kfp_server_api as api
from kubernetes import client

from pipelines.cluster.client import FINISHED
from tests.cluster import workflows
from tests.cluster.workflows import PipelineTask, TaskPath
from tests.http_server import listening
from tests.pipelines.kfp_server import Handler, Kubeflow, RefusalError, Routes
from tests.pipelines.kubernetes_server import Kubernetes, status
from unlearning.cluster.names import GPU

Work = Callable[[str, str, Mapping[str, Any]], None]
"""Name of a pipeline, id of its run and parameters; it fails where the run is to fail."""

EARLIER = timedelta(minutes=1)
"""By which containers say that they began before: nobody waits for them to have run for long."""
PATIENCE = 30.0
"""Seconds in which runs that were stopped must have ended."""


def _number(key: str) -> int:
    return int(re.sub(r"\D", "", key) or 0)


def skipped(spec: Mapping[str, Any], path: TaskPath = ()) -> Iterator[TaskPath]:
    """Branches that are not taken: of several the first one is."""
    part = spec["root"]
    for key in path:
        part = spec["components"][part["dag"]["tasks"][key]["componentRef"]["name"]]
    tasks = part.get("dag", {}).get("tasks", {})
    branches = sorted((key for key in tasks if re.fullmatch(r"condition-\d+", key)), key=_number)
    for key in tasks:
        if key in branches[1:]:
            yield (*path, key)
        else:
            yield from skipped(spec, (*path, key))


class Namespace(Kubernetes):
    """Pods and workflows beside what a Kubernetes holds."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.workflows: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, Any] = {}
        self.deleted = threading.Condition()

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        argo = f"/apis/argoproj.io/v1alpha1/namespaces/{self.name}/workflows"
        if path == f"/api/v1/namespaces/{self.name}/pods":
            return 200, client.V1PodList(items=list(self._labelled(query, self.pods, lambda pod: pod.metadata.labels)))
        if path == argo:
            found = self._labelled(query, self.workflows, lambda each: each["metadata"]["labels"])
            return 200, {"items": list(found)}
        if path.startswith(f"{argo}/") and (name := path.rsplit("/", 1)[1]) in self.workflows:
            return 200, self.workflows[name]
        return super().answer(path, query)

    @staticmethod
    def _labelled(query: dict[str, str], held: Mapping[str, Any], labels: Callable[[Any], Any]) -> Iterator[Any]:
        key, _, value = query["labelSelector"].partition("=")
        return (each for each in list(held.values()) if labels(each).get(key) == value)

    def delete(self, path: str) -> tuple[int, Any]:
        with self.deleted:
            found = self.pods.pop(path.rsplit("/", 1)[1], None)
            self.deleted.notify_all()
        return (200, found) if found is not None else (404, status(404, f"{path} not found"))


class Backend(Kubeflow):
    """Runs what is created, and starts a run of every schedule."""

    def __init__(self, namespace: Namespace, work: Work, held: Mapping[str, float], retries: bool = True) -> None:
        """
        Args:
            namespace: where pods and workflows are.
            work: what a run does.
            held: seconds for which the first pods of tasks run whose names begin so, in small letters.
            retries: whether a lost attempt is tried again.
        """
        super().__init__()
        self.page_size = 100
        self.namespace = namespace
        self.work = work
        self.held = held
        self.retries = retries
        self.threads: list[threading.Thread] = []
        self.pipelines: dict[str, Any] = {}

    @property
    def routes(self) -> Routes:
        """What the suite asks beside the command line."""
        return (
            *super().routes,
            ("POST", "/runs/{id}:terminate", Backend.terminate_run),
            ("POST", "/pipelines/upload", Backend.upload_pipeline),
            ("DELETE", "/pipelines/{id}", Backend.delete_pipeline),
        )

    def create_run(self, query: dict[str, str], body: bytes) -> Any:
        made = super().create_run(query, body)
        self._start(made)
        return made

    def create_schedule(self, query: dict[str, str], body: bytes) -> Any:
        made = super().create_schedule(query, body)
        run = api.V2beta1Run(
            experiment_id=made.experiment_id, run_id=str(uuid.uuid4()), state="PENDING", display_name="",
            pipeline_spec=made.pipeline_spec, runtime_config=made.runtime_config,
            recurring_run_id=made.recurring_run_id,
        )  # fmt: skip
        self.runs[run.run_id] = run
        self._start(run)
        return made

    def terminate_run(self, query: dict[str, str], body: bytes, identity: str) -> Any:
        self.known(self.runs, identity).state = "CANCELED"
        self._wake()
        return {}

    def upload_pipeline(self, query: dict[str, str], body: bytes) -> Any:
        if b'name="uploadfile"' not in body:
            raise RefusalError(400, "Invalid input error: uploadfile is missing")
        if any(each.display_name == query["name"] for each in self.pipelines.values()):
            raise RefusalError(409, f"pipeline {query['name']} already exists")
        made = api.V2beta1Pipeline(pipeline_id=str(uuid.uuid4()), display_name=query["name"])
        self.pipelines[made.pipeline_id] = made
        return made

    def delete_pipeline(self, query: dict[str, str], body: bytes, identity: str) -> Any:
        self.known(self.pipelines, identity)
        if query.get("cascade", "").lower() != "true":
            raise RefusalError(400, f"pipeline {identity} has versions")
        del self.pipelines[identity]
        return {}

    def stop(self) -> None:
        """End every run that goes on."""
        for run in self.runs.values():
            run.state = run.state if run.state in FINISHED else "CANCELED"
        self._wake()
        for thread in self.threads:
            thread.join(PATIENCE)

    def _wake(self) -> None:
        with self.namespace.deleted:
            self.namespace.deleted.notify_all()

    def _start(self, run: Any) -> None:
        thread = threading.Thread(target=Execution(self, run).follow, daemon=True)
        self.threads.append(thread)
        thread.start()


class Execution:
    """One run."""

    def __init__(self, backend: Backend, run: Any) -> None:
        self.backend, self.run = backend, run
        self.spec = run.pipeline_spec.get("pipeline_spec", run.pipeline_spec)
        self.pipeline = self.spec["pipelineInfo"]["name"]
        self.parameters = dict(run.runtime_config.parameters or {})
        self.workflow = f"{self.pipeline}-{run.run_id[:5]}"
        self.nodes: dict[str, dict[str, Any]] = {}
        self.details: dict[TaskPath, Any] = {}
        self.numbers = itertools.count()
        backend.namespace.workflows[self.workflow] = {
            "metadata": {"name": self.workflow, "labels": {workflows.RUN_LABEL: run.run_id}},
            "status": {"nodes": self.nodes, "startedAt": datetime.now(UTC).isoformat()},
        }
        run.run_details = api.V2beta1RunDetails(task_details=[])

    @property
    def stopped(self) -> bool:
        return bool(self.run.state == "CANCELED")

    def follow(self) -> None:
        """From its beginning to its end."""
        state = self._followed()
        status = self.backend.namespace.workflows[self.workflow]["status"]
        status["finishedAt"] = datetime.now(UTC).isoformat()
        self.run.state = state

    def _followed(self) -> str:
        """How it ended."""
        self.run.state = "RUNNING"
        lasting = bool(self.run.recurring_run_id) or self.parameters.get("gpus", "0") != "0"
        try:
            if not lasting:
                self.backend.work(self.pipeline, self.run.run_id, self.parameters)
        except Exception as error:  # whatever it was, the run has failed
            self.run.error = api.GoogleRpcStatus(code=2, message=str(error), details=[])
            return "FAILED"
        left_out = list(skipped(self.spec))
        for path in left_out:
            self._tell(path, "SKIPPED")
        tasks = [
            task
            for task in workflows.tasks_of(self.spec)
            if not any(task.path[: len(each)] == each for each in left_out)
        ]
        for task in sorted(tasks, key=lambda task: not task.first):
            if self.stopped or not self._execute(task):
                return "CANCELED" if self.stopped else "FAILED"
        while lasting and not self.stopped:
            time.sleep(0.05)
        return "CANCELED" if self.stopped else "SUCCEEDED"

    def _execute(self, task: PipelineTask) -> bool:
        """Whether a task succeeded, at the latest by its second attempt."""
        for end in range(1, len(task.path)):
            self._tell(task.path[:end], "RUNNING")
        self._tell(task.path, "RUNNING")
        place = ".".join((self.workflow, "root", *task.path, workflows.EXECUTOR))
        done = any(self._attempt(task, f"{place}({number})") for number in range(1 + self.backend.retries))
        for end in range(1, len(task.path) + 1):
            self._tell(task.path[:end], "SUCCEEDED" if done else "FAILED")
        return done

    def _attempt(self, task: PipelineTask, node: str) -> bool:
        namespace, name = self.backend.namespace, f"{self.workflow}-{next(self.numbers)}"
        words = self.backend.held if node.endswith("(0)") else {}
        held = next((each for word, each in words.items() if task.name.lower().startswith(word)), 0.0)
        namespace.pods[name] = self._pod(task, name, node)
        with namespace.deleted:
            lost = namespace.deleted.wait_for(lambda: name not in namespace.pods or self.stopped, timeout=held)
            lost = lost and not self.stopped
        namespace.pods.pop(name, None)
        self.nodes[name] = {
            "type": "Pod", "name": node, "phase": "Error" if lost else "Succeeded",
            "message": "pod deleted" if lost else "", "startedAt": datetime.now(UTC).isoformat(),
        }  # fmt: skip
        return not lost

    def _pod(self, task: PipelineTask, name: str, node: str) -> Any:
        """As the driver makes it: it reads the number of GPUs as text."""
        gpus = self.parameters.get("gpus", "0")
        wants = isinstance(gpus, str) and gpus != "0" and task.on_gpu
        running = client.V1ContainerState(
            running=client.V1ContainerStateRunning(started_at=datetime.now(UTC) - EARLIER)
        )
        resources = client.V1ResourceRequirements(limits={GPU: gpus} if wants else None)
        return client.V1Pod(
            metadata=client.V1ObjectMeta(
                name=name, annotations={workflows.NODE_NAME: node}, labels={workflows.WORKFLOW_LABEL: self.workflow}
            ),
            spec=client.V1PodSpec(containers=[client.V1Container(name=workflows.MAIN, resources=resources)]),
            status=client.V1PodStatus(
                container_statuses=[
                    client.V1ContainerStatus(
                        name=workflows.MAIN, state=running, image="i", image_id="i", ready=True, restart_count=0
                    )
                ]
            ),
        )

    def _tell(self, path: TaskPath, state: str) -> None:
        """The server's list: the node, and beside it its driver and a task without a name."""
        if path not in self.details:
            made = [self._detail(path[-1]), self._detail(f"{path[-1]}-driver"), self._detail("")]
            self.details[path] = made[0]
            self.run.run_details.task_details = [*self.run.run_details.task_details, *made]
        self.details[path].state = state

    @staticmethod
    def _detail(name: str) -> Any:
        started = datetime.now(UTC)
        state = "SUCCEEDED" if name else None
        return api.V2beta1PipelineTaskDetail(
            task_id=str(uuid.uuid4()), display_name=name, state=state, start_time=started
        )


@contextmanager
def serving(backend: Backend) -> Iterator[Backend]:
    """Kubeflow's API on a free port of localhost, as long as the block lasts."""
    with listening(type("Bound", (Handler,), {"kubeflow": backend})) as backend.url:
        yield backend
    backend.stop()
