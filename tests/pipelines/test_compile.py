from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components.base import IMAGE
from pipelines.compile import PIPELINES, compile_all

Document = dict[str, Any]
GPUS = "pipelinechannel--gpus"
ON_GPU = {"pretrain", "references", "unlearn", "audit", "evaluate"}
CACHED = {
    "pretraining": {
        "ingest": True,
        "split": True,
        "pretrain": True,
        "plan_references": True,
        "references": True,
        "gather_references": False,
        "evaluate": True,
        "register": False,
    },
    "unlearning": {
        "resolve": False,
        "select": True,
        "unlearn": True,
        "audit": False,
        "evaluate": False,
        "decide": False,
        "promote": False,
        "reject": False,
        "report": False,
    },
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {path.stem: path for path in compile_all(tmp_path_factory.mktemp("compiled"))}


@pytest.fixture(params=sorted(PIPELINES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def document(compiled: dict[str, Path], name: str) -> Document:
    (content,) = yaml.safe_load_all(compiled[name].read_text())
    assert isinstance(content, dict)
    return content


def dags(document: Document) -> Iterator[tuple[str, Document]]:
    """Every component that is a DAG, the root first."""
    yield "root", document["root"]
    for name, component in document["components"].items():
        if "dag" in component:
            yield name, component


def tasks(document: Document) -> Iterator[tuple[str, Document, Document]]:
    """The component's name, the task and the DAG it is in, of every task that runs a container."""
    for _, dag in dags(document):
        for task in dag["dag"]["tasks"].values():
            component = document["components"][task["componentRef"]["name"]]
            if "executorLabel" in component:
                executor = document["deploymentSpec"]["executors"][component["executorLabel"]]
                yield function_of(executor), task, dag


def function_of(executor: Document) -> str:
    arguments = executor["container"]["args"]
    return str(arguments[arguments.index("--function_to_execute") + 1])


def executors(document: Document) -> Iterator[tuple[str, Document]]:
    for executor in document["deploymentSpec"]["executors"].values():
        yield function_of(executor), executor["container"]


def test_the_same_sources_give_the_same_bytes(compiled: dict[str, Path], name: str, tmp_path: Path) -> None:
    again = {path.stem: path for path in compile_all(tmp_path)}
    assert again[name].read_bytes() == compiled[name].read_bytes()


def test_kubeflow_accepts_the_document(document: Document) -> None:
    specification = json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())
    assert specification.pipeline_info.name in PIPELINES
    assert specification.pipeline_info.description


def test_every_parameter_is_described_and_has_a_default(document: Document) -> None:
    parameters = document["root"]["inputDefinitions"]["parameters"]
    assert {"run_name", "device", "gpus", "seed"} <= set(parameters)
    for parameter, definition in parameters.items():
        assert definition["description"].strip(), parameter
        assert "defaultValue" in definition, parameter


def test_every_image_is_ours(document: Document) -> None:
    assert {container["image"] for _, container in executors(document)} == {IMAGE}


def test_the_tasks_that_compute_ask_for_the_gpus_of_the_parameter(document: Document) -> None:
    found = set()
    for function, container in executors(document):
        accelerator = container.get("resources", {}).get("accelerator")
        if function in ON_GPU:
            assert accelerator["resourceCount"] == "{{$.inputs.parameters['" + GPUS + "']}}", function
            assert accelerator["resourceType"] == "nvidia.com/gpu"
            found.add(function)
        else:
            assert accelerator is None, function
    assert found


def test_the_number_of_gpus_reaches_every_task_that_asks_for_it(document: Document) -> None:
    """KFP's compiler hands a parameter that only a limit names to no nested DAG."""
    for function, task, dag in tasks(document):
        if function not in ON_GPU:
            continue
        source = task["inputs"]["parameters"]["gpus"]["componentInputParameter"]
        assert source in dag["inputDefinitions"]["parameters"], function
        assert source == ("gpus" if dag is document["root"] else GPUS)
        assert task["inputs"]["parameters"][GPUS]["componentInputParameter"] == source, "what the limit refers to"


def test_every_nested_dag_hands_the_number_of_gpus_on(document: Document) -> None:
    for _, dag in dags(document):
        for name, task in dag["dag"]["tasks"].items():
            inner = document["components"][task["componentRef"]["name"]]
            wanted = inner.get("inputDefinitions", {}).get("parameters", {})
            if GPUS in wanted:
                source = task["inputs"]["parameters"][GPUS]["componentInputParameter"]
                assert source in dag["inputDefinitions"]["parameters"], name


def test_what_reads_the_world_or_judges_always_runs(document: Document, name: str) -> None:
    cached: dict[str, set[bool]] = {}
    for function, task, _ in tasks(document):
        cached.setdefault(function, set()).add(task["cachingOptions"].get("enableCache", False))
    assert cached == {function: {wanted} for function, wanted in CACHED[name].items()}


def test_every_task_has_a_name_for_people(document: Document) -> None:
    for function, task, _ in tasks(document):
        assert task["taskInfo"]["name"] not in ("", function)


def test_conditions_compare_with_a_closed_vocabulary(document: Document, name: str) -> None:
    """A local run pastes values into the condition: nothing but outcomes and on_failure may stand there."""
    conditions = [
        task["triggerPolicy"]["condition"]
        for _, dag in dags(document)
        for task in dag["dag"]["tasks"].values()
        if "condition" in task.get("triggerPolicy", {})
    ]
    quoted = {text for condition in conditions for text in re.findall(r"'([^']*)'", condition)}
    if name == "pretraining":
        assert quoted == set()
        return
    values = {text for text in quoted if not text.startswith("pipelinechannel--")}
    inputs = {text.removeprefix("pipelinechannel--") for text in quoted - values}
    assert values == {"passed", "retrain"}
    assert inputs == {"decide-Output", "decide-2-Output", "on_failure"}
