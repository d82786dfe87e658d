"""How large a pipeline becomes on a cluster: the object that Argo Workflows stores for one of its runs.

Argo keeps a workflow in one object of at most 1 MiB: its specification, and what it knows of every node; of the two
it compresses only the nodes, and those only when the whole would not fit. Kubeflow's compiler writes each component,
container and its Kubernetes settings once among the arguments and each task in the template of the DAG that it stands
in. A node repeats what it was given: component, task, container, and the patch of its pod. Both follow Kubeflow
Pipelines 2.17 (`backend/src/v2/compiler/argocompiler`) and its stock defaults, which try every template again: so
every node stands below another that counts the attempts.

The figures are a model's, and the nodes that a cluster stored were larger than the model's by a fifth
(`docs/scaling.md`): they count `SEEN` times.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cluster import packages
from pipelines.cluster.packages import Package
from pipelines.cluster.progress import needed
from pipelines.compile import PIPELINES
from unlearning.audit.escalation import ATTEMPTS
from unlearning.compliance.batches.parameters import MOST_MODELS

LIMIT = 1_048_576
"""Bytes of a workflow that Argo stores."""

SEEN = 1.25
"""What a cluster stored of nodes, over what the model says: 1.19 to 1.25 for the three pipelines as they once were,
compressed and not."""

MOST_SPECIFICATION = 100_000
"""Bytes of a compiled pipeline."""
MOST_STORED = {"pretraining": 400_000, "qualification": 400_000, "unlearning": 400_000, "compliance": LIMIT}
"""Bytes of a workflow with its nodes compressed, at the end of the largest run of each pipeline."""
MOST_REFERENCE_TASKS = 16
"""Tasks that train references or forget simulated sets, in the largest run that is looked at."""

Document = dict[str, Any]

_SERVER = [
    "--http_proxy", "", "--https_proxy", "", "--no_proxy", "",
    "--ml_pipeline_server_address", "ml-pipeline.kubeflow.svc.cluster.local", "--ml_pipeline_server_port", "8887",
    "--mlmd_server_address", "metadata-grpc-service.kubeflow.svc.cluster.local", "--mlmd_server_port", "8080",
]  # fmt: skip
_OUTPUTS = "/tmp/kfp/outputs"  # noqa: S108 - where Kubeflow's launcher looks
_FIXED_TEMPLATES = 2_600
"""Bytes of the templates of drivers and executors: volumes, mounts, environment, security context; each is there
once for every kind (DAG and container driver, executor, and executor that is tried again)."""
_FIXED_SPECIFICATION = 1_200


@dataclass(frozen=True)
class RunHistory:
    """What happened in a run, as far as its size depends on it."""

    loops: Mapping[str, int] = field(default_factory=dict)
    """Iterations of loops by their names; one where none is said."""
    taken: frozenset[str] = frozenset()
    """Names of the branches that were taken."""


@dataclass(frozen=True)
class WorkflowSize:
    """Bytes, nodes and pods of a workflow at the end of a run."""

    specification: int
    """Bytes of the compiled pipeline as JSON, without Kubernetes settings."""
    arguments: int
    templates: int
    nodes: int
    pods: int
    status: int
    """Bytes of the nodes, uncompressed."""
    compressed: int
    """The same as Argo stores them when they would not fit."""

    @property
    def needed(self) -> int:
        """Bytes of the object with its nodes compressed: what must fit."""
        return self.arguments + self.templates + _FIXED_SPECIFICATION + self.compressed

    @property
    def stored(self) -> int:
        """Bytes of the object: uncompressed while that fits."""
        whole = self.needed - self.compressed + self.status
        return whole if whole <= LIMIT else self.needed


def size_of(package: Package, history: RunHistory = RunHistory()) -> WorkflowSize:
    """The workflow of a run of this pipeline that went as told, with the defaults of its parameters."""
    run = _Run(package, history)
    found = {node["id"]: node for node in run.nodes()}
    nodes = dict(sorted(found.items()))  # as Go writes a map
    status = _json(nodes).encode()
    return WorkflowSize(
        specification=len(_json(package.spec)),
        arguments=len(_json(run.arguments())),
        templates=len(_json(run.templates())) + 4 * _FIXED_TEMPLATES,
        nodes=len(nodes),
        pods=sum(node["type"] == "Pod" for node in nodes.values()),
        status=round(SEEN * len(status)),
        compressed=round(SEEN * len(base64.b64encode(gzip.compress(status, mtime=0)))),
    )


def worst(name: str) -> RunHistory:
    """What makes the largest workflow that a run of one of our pipelines can end with."""
    every = frozenset(f"attempt {number}" for number in range(2, len(ATTEMPTS) + 1))
    loops = {
        "pretraining": {"references": MOST_REFERENCE_TASKS},
        "qualification": {"sets": MOST_REFERENCE_TASKS},
        "compliance": {"models": MOST_MODELS},
    }
    return RunHistory(loops=loops.get(name, {}), taken=every if name in ("unlearning", "compliance") else frozenset())


def check(name: str, size: WorkflowSize) -> list[str]:
    """What is too large of a pipeline's worst run, in words."""
    bounds = {
        "a specification of {} bytes": (size.specification, MOST_SPECIFICATION),
        "{} bytes to store": (size.needed, MOST_STORED[name]),
    }
    return [f"{name}: {words.format(found)}, at most {most}" for words, (found, most) in bounds.items() if found > most]


def main(folder: Annotated[Path, typer.Argument(help="Where the compiled pipelines are.")]) -> None:
    """Show what the worst run of each pipeline leaves behind, and fail where it does not fit."""
    columns = ("specification", "arguments", "templates", "nodes", "pods", "needed")
    print(f"{'pipeline':12}" + "".join(f"{column:>15}" for column in columns))
    wrong: list[str] = []
    for name in PIPELINES:
        size = size_of(packages.read(folder / f"{name}.yaml"), worst(name))
        print(f"{name:12}" + "".join(f"{getattr(size, column):>15,}" for column in columns))
        wrong += check(name, size)
    if wrong:
        sys.exit("\n".join(wrong))


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


class _Run:
    def __init__(self, package: Package, history: RunHistory) -> None:
        self.spec, self.history, self.name = package.spec, history, package.name
        self.components: Document = package.spec.get("components", {})
        self.executors: Document = package.spec.get("deploymentSpec", {}).get("executors", {})
        platforms = package.platform.get("platforms", {}).get("kubernetes", {})
        self.kubernetes: Document = platforms.get("deploymentSpec", {}).get("executors", {})
        self.random = random.Random(0)  # noqa: S311 - stands for ids
        self.workflow = f"{self.name}-x7k2p"

    # What is stored before anything runs

    def arguments(self) -> list[Document]:
        """Components, containers and Kubernetes settings: each once."""
        found: dict[str, Any] = {"components-root": self.spec["root"]}
        for name, component in self.components.items():
            label = component.get("executorLabel")
            if label is None:
                found[f"components-{name}"] = component
                continue
            container = self.executors[label]["container"]
            digest = hashlib.sha256(_json(container).encode()).hexdigest()
            found |= {f"components-{digest}": component, f"implementations-{digest}": container}
            if label in self.kubernetes:
                found[f"kubernetes-{name}"] = self.kubernetes[label]
        return [{"name": name, "value": _json(content)} for name, content in found.items()]

    def templates(self) -> list[Document]:
        """One for each DAG, two more for each loop."""
        parameters = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        config = {"parameterValues": {name: each.get("defaultValue", "") for name, each in parameters.items()}}
        root = self._driver_task("root", {}, {"runtime-config": _json(config), "driver-type": "ROOT_DAG"})
        found = [{"name": "entrypoint", "dag": {"tasks": [root, self._dag_task("root", "root")]}}]
        for name, dag in [("root", self.spec["root"]), *self.components.items()]:
            if "dag" in dag:
                tasks = [each for key, task in dag["dag"]["tasks"].items() for each in self._tasks(key, task, found)]
                found.append({"name": name, "inputs": _PARENT, "dag": {"tasks": tasks}})
        return found

    def _driver_task(self, key: str, task: Document, more: Document, component: str = "root") -> Document:
        given = {"component": f"{{{{workflow.parameters.components-{self._argument(component)}}}}}"} | more
        if task:
            given |= {"task": _json(task), "task-name": key, "parent-dag-id": "{{inputs.parameters.parent-dag-id}}"}
        return {
            "name": f"{key}-driver",
            "template": "system-dag-driver",
            "arguments": {"parameters": [{"name": name, "value": value} for name, value in given.items()]},
            "depends": " && ".join(f"{each}.Succeeded" for each in sorted({*needed(task)})),
        }

    def _argument(self, component: str) -> str:
        label = self.components.get(component, {}).get("executorLabel")
        return component if label is None else 64 * "0"

    def _dag_task(self, key: str, component: str) -> Document:
        given = {
            "parent-dag-id": f"{{{{tasks.{key}-driver.outputs.parameters.execution-id}}}}",
            "condition": f"{{{{tasks.{key}-driver.outputs.parameters.condition}}}}",
        }
        return {
            "name": key,
            "template": component,
            "arguments": {"parameters": [{"name": name, "value": value} for name, value in given.items()]},
            "depends": f"{key}-driver.Succeeded",
        }

    def _tasks(self, key: str, task: Document, found: list[Document], *, inside: bool = False) -> list[Document]:
        component = task["componentRef"]["name"]
        if "parameterIterator" in task and not inside:
            item = self._tasks("iteration-item", task, found, inside=True)
            driver = self._driver_task("iteration", task, {}, component)
            again = self._dag_task("iteration-iterations", f"{component}-iteration") | {
                "withSequence": {"count": "{{}}"}
            }
            found.append({"name": f"{component}-iteration", "inputs": _PARENT, "dag": {"tasks": item}})
            found.append({"name": f"{component}-{key}-iterator", "inputs": _PARENT, "dag": {"tasks": [driver, again]}})
            return [self._dag_task(key, f"{component}-{key}-iterator")]
        driver = self._driver_task(key, task, {}, component)
        if "dag" in self.components[component]:
            when = {"when": f"{{{{tasks.{key}-driver.outputs.parameters.condition}}}} != false"}
            return [driver, self._dag_task(key, component) | (when if _condition(task) else {})]
        given = [{"name": "container", "value": f"{{{{workflow.parameters.implementations-{64 * '0'}}}}}"}]
        given += [{"name": "kubernetes-config", "value": f"{{{{workflow.parameters.kubernetes-{component}}}}}"}]
        driver["arguments"]["parameters"] += given
        executor = {
            "name": key,
            "template": "retry-metadata-0-1-system-container-executor",
            "arguments": {
                "parameters": [
                    {"name": name, "value": f"{{{{tasks.{key}-driver.outputs.parameters.{name}}}}}"}
                    for name in ("pod-spec-patch", "cached-decision")
                ]
                + _metadata(task)
            },
            "depends": f"{key}-driver.Succeeded",
        }
        return [driver, executor]

    # What is added while it runs

    def nodes(self) -> Iterator[Document]:
        """Every node that the run leaves behind."""
        yield from self._node("entrypoint", "DAG", [self.workflow], {}, {})
        yield from self._driver("root", [self.workflow], self.spec["root"], {}, {})
        yield from self._dag("root", [self.workflow, "root"], self.spec["root"])

    def _dag(self, template: str, path: list[str], dag: Document) -> Iterator[Document]:
        yield from self._node(template, "DAG", path, {"parent-dag-id": self._number()}, {})
        for key, task in dag["dag"]["tasks"].items():
            yield from self._task(key, task, path)

    def _task(self, key: str, task: Document, path: list[str], *, inside: bool = False) -> Iterator[Document]:
        name, component = task["componentRef"]["name"], self.components[task["componentRef"]["name"]]
        label = str(task.get("taskInfo", {}).get("name", key))
        if "parameterIterator" in task and not inside:
            yield from self._node(f"{name}-{key}-iterator", "DAG", [*path, key], {"parent-dag-id": self._number()}, {})
            yield from self._driver("iteration", [*path, key], component, task, {})
            yield self._one("TaskGroup", name, [*path, key, "iteration-iterations"], {}, {}, "Succeeded")
            for index in range(self.history.loops.get(label, 1)):
                given = {"parent-dag-id": self._number(), "iteration-index": str(index)}
                here = [*path, key, f"iteration-iterations({index}:{index})"]
                yield from self._node(f"{name}-iteration", "DAG", here, given, {})
                yield from self._task("iteration-item", task, here, inside=True)
            return
        if "dag" in component:
            yield from self._driver(key, path, component, task, {})
            if _condition(task) and label not in self.history.taken:
                yield self._one("Skipped", name, [*path, key], {}, {}, "Omitted")
            else:
                yield from self._dag(name, [*path, key], component)
            return
        container = self.executors[component["executorLabel"]]["container"]
        settings = self.kubernetes.get(component["executorLabel"], {})
        patch = _json(self._patch(path, key, task, component, container, settings))
        more = {"container": _json(container), "kubernetes-config": _json(settings)}
        out = {"pod-spec-patch": patch, "cached-decision": "false", "condition": "true"}
        yield from self._driver(key, path, component, task, more, out)
        given = {"pod-spec-patch": patch, "cached-decision": "false"}
        yield from self._node("retry-system-container-executor", "DAG", [*path, key], given, {})
        yield from self._node("retry-system-container-impl", "Pod", [*path, key, "executor"], given, {})

    def _driver(
        self,
        key: str,
        path: list[str],
        component: Document,
        task: Document,
        more: Document,
        out: Document | None = None,
    ) -> Iterator[Document]:
        given = {"component": _json(component), "task": _json(task), "task-name": key} | more
        given |= {"parent-dag-id": self._number(), "iteration-index": "-1"}
        told = out or {"execution-id": self._number(), "iteration-count": "0", "condition": "true"}
        template = "system-container-driver" if more else "system-dag-driver"
        yield from self._node(template, "Pod", [*path, f"{key}-driver"], given, told)

    def _node(self, template: str, kind: str, path: list[str], given: Document, told: Document) -> Iterator[Document]:
        """A node, and the one above it that counts its attempts."""
        yield self._one("Retry", template, path, given, told, "Succeeded")
        yield self._one(kind, template, [*path[:-1], f"{path[-1]}(0)"], given, told, "Succeeded")

    def _one(self, kind: str, template: str, path: list[str], given: Document, told: Document, phase: str) -> Document:
        pod = kind == "Pod"
        minute, second = divmod(self.random.randrange(3_600), 60)
        outputs = [
            {"name": name, "value": value, "valueFrom": {"path": f"/tmp/outputs/{name}", "default": ""}}  # noqa: S108
            for name, value in told.items()
        ]
        logs = {"name": "main-logs", "s3": {"key": f"artifacts/{self.workflow}/2026/08/21/{self._id()}/main.log"}}
        found: Document = {
            "id": self._id(),
            "name": ".".join(path),
            "displayName": path[-1],
            "type": kind,
            "templateName": template,
            "templateScope": f"local/{self.workflow}",
            "phase": phase,
            "boundaryID": self._id(),
            "startedAt": f"2026-08-21T10:{minute:02}:{second:02}Z",
            "finishedAt": f"2026-08-21T11:{minute:02}:{second:02}Z",
            "progress": "1/1",
            "resourcesDuration": {"cpu": self.random.randrange(20), "memory": self.random.randrange(400)},
            "nodeFlag": {"retried": True},
            "inputs": {"parameters": [{"name": name, "value": value} for name, value in given.items()]},
        }
        if told or pod:
            found["outputs"] = {"parameters": outputs, "exitCode": "0"} | ({"artifacts": [logs]} if pod else {})
        if pod:
            found["hostNodeName"] = "node-0"
        else:
            found["children"] = [self._id()]
        return found

    def _patch(
        self, path: list[str], key: str, task: Document, component: Document, container: Document, settings: Document
    ) -> Document:
        """What Kubeflow's driver has Argo lay over the pod: the launcher, what it is told, and the settings."""
        inputs = component.get("inputDefinitions", {})
        given = {**inputs.get("parameters", {}), **task.get("inputs", {}).get("parameters", {})}
        outputs = component.get("outputDefinitions", {})
        root = self._root(path, key)
        told = {
            "inputs": {
                "parameterValues": {name: self._value(task, name) for name in given},
                "artifacts": {
                    name: self._artifact(path, task["inputs"]["artifacts"][name], each)
                    for name, each in inputs.get("artifacts", {}).items()
                    if name in task.get("inputs", {}).get("artifacts", {})
                },
            },
            "outputs": {
                "parameters": {name: {"outputFile": f"{_OUTPUTS}/{name}"} for name in outputs.get("parameters", {})},
                "artifacts": {
                    name: {"artifacts": [{"type": each["artifactType"], "uri": f"{root}/{name}", "metadata": {}}]}
                    for name, each in outputs.get("artifacts", {}).items()
                },
                "outputFile": "/tmp/kfp_outputs/output_metadata.json",  # noqa: S108
            },
        }
        command = [
            "/kfp-launcher/launch", "--pipeline_name", self.name, "--run_id", str(_RUN),
            "--execution_id", self._number(), "--executor_input", _json(told), "--component_spec", _json(component),
            "--pod_name", "$(KFP_POD_NAME)", "--pod_uid", "$(KFP_POD_UID)", *_SERVER, "--publish_logs", "true", "--",
            *container.get("command", []), *container.get("args", []),
        ]  # fmt: skip
        main = {
            "name": "main",
            "image": container.get("image", ""),
            "command": command,
            "resources": {"limits": {}, "requests": {}},
            "env": [*container.get("env", []), *_environment(settings)],
            "volumeMounts": [
                {"name": each.get("constant", "volume"), "mountPath": each.get("mountPath", "")}
                for kind in ("pvcMount", "emptyDirMounts", "secretAsVolume")
                for each in settings.get(kind, [])
            ],
            "securityContext": {
                "capabilities": {"drop": ["ALL"]},
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "runAsNonRoot": True,
                "allowPrivilegeEscalation": False,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
        volumes = [
            {"name": each.get("constant", "volume"), "persistentVolumeClaim": {"claimName": each.get("constant", "")}}
            for kind in ("pvcMount", "emptyDirMounts", "secretAsVolume")
            for each in settings.get(kind, [])
        ]
        pod = {"activeDeadlineSeconds": 21_600, "nodeSelector": {}, "tolerations": settings.get("tolerations", [])}
        return {"containers": [main], "volumes": volumes, **pod}

    def _value(self, task: Document, name: str) -> Any:
        given = task.get("inputs", {}).get("parameters", {}).get(name, {})
        return given.get("runtimeValue", {}).get("constant", "0")

    def _artifact(self, path: list[str], given: Document, each: Document) -> Document:
        """An artifact that the task is handed; from a DAG above it is known by a name that starts with its producer."""
        made = given.get("taskOutputArtifact", {"producerTask": given.get("componentInputArtifact", "")})
        producer, _, name = made["producerTask"].removeprefix("pipelinechannel--").rpartition("-")
        uri = f"{self._root(path, producer)}/{made.get('outputArtifactKey', name)}"
        digest = hashlib.sha256(uri.encode()).hexdigest()
        named = {"name": self._number(), "type": each["artifactType"], "uri": uri}
        return {"artifacts": [named | {"metadata": {"digest": digest, "display_name": name}}]}

    def _root(self, path: list[str], producer: str) -> str:
        """Where a task leaves its artifacts: below the run, an id of its own in every iteration."""
        iteration = next((each for each in reversed(path) if each.startswith("iteration-iterations(")), "")
        own = uuid.uuid5(uuid.NAMESPACE_URL, f"{iteration} {producer}")
        return f"s3://unlearning/pipeline-root/{self.name}/{_RUN}/{producer}/{own}"

    def _number(self) -> str:
        return str(self.random.randrange(10_000))

    def _id(self) -> str:
        return f"{self.workflow}-{self.random.randrange(10**9, 10**10)}"


_RUN = uuid.uuid5(uuid.NAMESPACE_URL, "run")
_PARENT = {"parameters": [{"name": "parent-dag-id"}]}


def _condition(task: Document) -> str:
    return str(task.get("triggerPolicy", {}).get("condition", ""))


def _metadata(task: Document) -> list[Document]:
    retry = {"retry-max-count": "2", "retry-backoff-duration": "30s"} if "retryPolicy" in task else {}
    pod = {"pod-metadata-label-key": "app.kubernetes.io/part-of", "pod-metadata-label-val": "unlearning"}
    return [{"name": name, "value": value} for name, value in (pod | retry).items()]


def _environment(settings: Document) -> Iterator[Document]:
    """Variables of a container that come from elsewhere, as Kubernetes has them."""
    kinds = {"configMapAsEnv": ("configMap", "configMapKeyRef"), "secretAsEnv": ("secret", "secretKeyRef")}
    for kind, (name, reference) in kinds.items():
        for source in settings.get(kind, []):
            for each in source.get("keyToEnv", []):
                key = {"name": source[f"{name}Name"], "key": each[f"{name}Key"], "optional": source["optional"]}
                yield {"name": each["envVar"], "valueFrom": {reference: key}}
    for each in settings.get("fieldPathAsEnv", []):
        field_path = {"apiVersion": "v1", "fieldPath": each["fieldPath"]}
        yield {"name": each["name"], "valueFrom": {"fieldRef": field_path}}


if __name__ == "__main__":
    typer.run(main)
