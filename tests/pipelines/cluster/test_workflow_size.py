"""What Argo stores of a workflow, by the rules of Kubeflow's compiler."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.cluster import packages, workflow_size
from pipelines.cluster.packages import Package
from pipelines.cluster.workflow_size import LIMIT, SEEN, RunHistory, WorkflowSize, check, size_of, worst
from pipelines.compile import PIPELINES, compile_all
from unlearning.audit.escalation import ATTEMPTS
from unlearning.compliance.batches.parameters import MOST_MODELS

Document = dict[str, Any]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    return {path.stem: packages.read(path) for path in compile_all(tmp_path_factory.mktemp("compiled"))}


def attempts(count: int) -> frozenset[str]:
    return frozenset(f"attempt {number}" for number in range(2, count + 1))


def package(tasks: Document, components: Document | None = None) -> Package:
    """A pipeline of these tasks; `leaf` is a component that runs a container."""
    leaf = {"leaf": {"executorLabel": "exec"}} | (components or {})
    spec = {
        "pipelineInfo": {"name": "small"},
        "root": {"dag": {"tasks": tasks}},
        "components": leaf,
        "deploymentSpec": {"executors": {"exec": {"container": {"image": "i", "command": ["c"], "args": []}}}},
    }
    return Package("small", spec, {})


def task(component: str = "leaf", **more: Any) -> Document:
    return {"componentRef": {"name": component}, **more}


ROOT = 6
"""Entrypoint, driver and DAG of the root, each below a node that counts its attempts."""
LEAF = 6
"""Driver, executor's DAG and executor."""
DAG = 4
"""Driver and DAG."""


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_task_has_six_nodes_and_two_pods(count: int) -> None:
    found = size_of(package({f"t{number}": task() for number in range(count)}))
    assert (found.nodes, found.pods) == (ROOT + LEAF * count, 1 + 2 * count)


def test_a_branch_that_is_not_taken_costs_its_driver_and_a_node() -> None:
    branch = task("branch", taskInfo={"name": "yes"}, triggerPolicy={"condition": "a == 'b'"})
    made = package({"t": task(), "condition-1": branch}, {"branch": {"dag": {"tasks": {"inside": task()}}}})
    left, taken = size_of(made), size_of(made, RunHistory(taken=frozenset({"yes"})))
    assert (left.nodes, left.pods) == (ROOT + LEAF + 3, 1 + 2 + 1)
    assert (taken.nodes, taken.pods) == (ROOT + LEAF + DAG + LEAF, 1 + 2 + 1 + 2)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_loop_costs_its_own_nodes_and_those_of_every_iteration(count: int) -> None:
    loop = task("body", taskInfo={"name": "each"}, parameterIterator={"items": {"raw": "[]"}})
    made = package({"for-loop-1": loop}, {"body": {"dag": {"tasks": {"inside": task()}}}})
    found = size_of(made, RunHistory(loops={"each": count}))
    own = 2 + 2 + 1  # iterator, driver, and the group of iterations
    assert found.nodes == ROOT + own + count * (2 + DAG + LEAF)
    assert found.pods == 1 + 1 + count * (1 + 2)


def test_pretraining_has_the_nodes_and_pods_that_a_cluster_showed(compiled: dict[str, Package]) -> None:
    """83 nodes, with references in two tasks, on Argo 4.0.5 and Kubeflow Pipelines 2.17.0."""
    assert size_of(compiled["pretraining"], RunHistory(loops={"references": 2})).nodes == 83


def test_an_unlearning_run_has_half_the_pods_that_it_once_had(compiled: dict[str, Package]) -> None:
    """28, 43 and 58 pods for one, two and three attempts while each step was a task of its own."""
    found = [size_of(compiled["unlearning"], RunHistory(taken=attempts(count))).pods for count in (1, 2, 3)]
    assert found == [14, 21, 28]


def test_arguments_hold_every_component_container_and_setting_once(compiled: dict[str, Package]) -> None:
    made = compiled["unlearning"]
    names = [each["name"] for each in workflow_size._Run(made, RunHistory()).arguments()]
    assert len(names) == len({*names})
    containers = {json.dumps(each["container"]) for each in made.spec["deploymentSpec"]["executors"].values()}
    assert sum(name.startswith("implementations-") for name in names) == len(containers)
    leaves = [name for name, each in made.spec["components"].items() if "executorLabel" in each]
    assert sum(name.startswith("kubernetes-") for name in names) == len(leaves)


def test_nodes_are_stored_as_they_are_while_that_fits() -> None:
    small = WorkflowSize(1, arguments=10, templates=10, nodes=1, pods=1, status=1_000, compressed=100)
    large = WorkflowSize(1, arguments=10, templates=10, nodes=1, pods=1, status=LIMIT, compressed=100)
    assert small.stored - small.needed == 900
    assert large.stored == large.needed < 2_000


def test_the_nodes_count_as_compressed_by_gzip_and_written_as_text(compiled: dict[str, Package]) -> None:
    run = workflow_size._Run(compiled["pretraining"], RunHistory())
    nodes = {node["id"]: node for node in run.nodes()}
    text = json.dumps(dict(sorted(nodes.items())), separators=(",", ":"), ensure_ascii=False).encode()
    found = size_of(compiled["pretraining"])
    assert found.status == round(SEEN * len(text))
    again = json.loads(gzip.decompress(base64.b64decode(base64.b64encode(gzip.compress(text)))))
    assert len(again) == found.nodes
    assert found.compressed < found.status / 5


def test_the_same_pipeline_has_the_same_size(compiled: dict[str, Package]) -> None:
    assert size_of(compiled["compliance"]) == size_of(compiled["compliance"])


def test_the_worst_run_makes_every_attempt_of_every_model(compiled: dict[str, Package]) -> None:
    most = RunHistory(loops={"models": MOST_MODELS}, taken=attempts(len(ATTEMPTS)))
    assert worst("compliance") == most
    assert size_of(compiled["compliance"], most).needed <= LIMIT
    more = RunHistory(loops={"models": MOST_MODELS + 2}, taken=attempts(len(ATTEMPTS)))
    assert size_of(compiled["compliance"], more).needed > LIMIT, "why there is a limit"


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_is_within_its_bounds(compiled: dict[str, Package], name: str) -> None:
    assert check(name, size_of(compiled[name], worst(name))) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"specification": 100_001}, "pretraining: a specification of 100001 bytes, at most 100000"),
        ({"compressed": LIMIT}, "bytes to store, at most 400000"),
    ],
)
def test_what_is_too_large_is_told(changed: dict[str, int], message: str) -> None:
    given = {"specification": 1, "arguments": 1, "templates": 1, "nodes": 1, "pods": 1, "status": 1, "compressed": 1}
    (found,) = check("pretraining", WorkflowSize(**given | changed))
    assert message in found


def test_as_a_program_it_shows_a_table_and_fails_where_something_does_not_fit(
    compiled: dict[str, Package], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compile_all(tmp_path)
    workflow_size.main(tmp_path)
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()[1:]] == list(PIPELINES)
    monkeypatch.setattr(workflow_size, "MOST_SPECIFICATION", 1_000)
    with pytest.raises(SystemExit, match="pretraining: a specification of"):
        workflow_size.main(tmp_path)
