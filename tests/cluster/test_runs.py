"""What the suite does with runs, on a simulated backend; `test_dry_run.py` has the whole suite on one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.cluster import packages
from pipelines.cluster.client import Endpoint
from pipelines.cluster.packages import Package
from pipelines.cluster.status import status_of
from pipelines.cluster.submission import RunRequest, schedule, submit
from tests.cluster import runs, workflows
from tests.cluster.runs import Answer, Disturbance, Kubernetes, Server, follow, paths, problems_with_steps
from tests.cluster.simulated import Backend, Namespace, serving
from tests.cluster.waiting import Budget, TooLongError
from tests.pipelines import kubernetes_server
from unlearning.cluster.client import Cluster
from unlearning.core.errors import MissingObjectError, UserError

NAMESPACE = "elsewhere"


def nothing(pipeline: str, run: str, parameters: Mapping[str, Any]) -> None:
    """The work of a run that leaves nothing."""


@pytest.fixture(scope="module")
def package() -> Package:
    return packages.compiled("pretraining")


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    with kubernetes_server.reached(Namespace(NAMESPACE), tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def backend(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    monkeypatch.setenv("UNLEARNING_KFP_TOKEN", "right")
    monkeypatch.delenv("UNLEARNING_KFP_TOKEN_FILE", raising=False)
    monkeypatch.setattr(runs, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(runs, "ASK_EVERY", 0.1)
    with serving(Backend(namespace, nothing, held={})) as running:
        yield running


@pytest.fixture
def server(backend: Backend) -> Server:
    return Server(Endpoint(backend.url))


@pytest.fixture
def kubernetes(namespace: Namespace) -> Kubernetes:
    return Kubernetes(Cluster(), NAMESPACE)


@pytest.fixture
def budget() -> Budget:
    return Budget(60)


def started(server: Server, package: Package, **parameters: Any) -> str:
    return submit(server, RunRequest(package, parameters, name="mine")).run_id


def test_a_run_is_followed_to_its_end_and_each_change_told_once(
    server: Server, package: Package, budget: Budget, capsys: pytest.CaptureFixture[str]
) -> None:
    status = follow(server, started(server, package), budget, 30)
    assert status.state == "SUCCEEDED"
    told = [line for line in capsys.readouterr().err.splitlines() if line.endswith("mine: Pretrain SUCCEEDED")]
    assert len(told) == 1


def test_a_run_that_does_not_end_is_told_with_its_steps(backend: Backend, server: Server, package: Package) -> None:
    backend.held = {"pretrain": 20}
    run = started(server, package)
    with pytest.raises(TooLongError, match=r"(?s)run mine: not after 1 s.*Pretrain: RUNNING"):
        follow(server, run, Budget(60), 1)


def test_a_server_that_is_away_for_a_moment_is_asked_again(
    backend: Backend, server: Server, package: Package, budget: Budget, capsys: pytest.CaptureFixture[str]
) -> None:
    backend.held = {"pretrain": 0.5}
    run = started(server, package)
    backend.moves = [lambda run: backend.fail.append(("GET /runs/{id}", 404))]
    assert follow(server, run, budget, 30).state == "SUCCEEDED"
    assert "asking again" in capsys.readouterr().err


def disturbed(backend: Backend, kubernetes: Kubernetes, package: Package, budget: Budget) -> Disturbance:
    backend.held = {"pretrain": 10, "split": 10}
    wanted = paths(workflows.wanted_tasks(package.spec, pure=True, preferred=["pretrain", "split"]))
    return Disturbance(kubernetes, wanted, count=1, after=5, tell=budget.tell)


def test_a_pod_that_was_deleted_is_tried_again(
    backend: Backend, server: Server, kubernetes: Kubernetes, package: Package, budget: Budget
) -> None:
    disturbance = disturbed(backend, kubernetes, package, budget)
    disturbance.count = 2
    run = started(server, package)
    assert follow(server, run, budget, 30, disturbance).state == "SUCCEEDED"
    found, size = kubernetes.workflow(run)
    assert sorted(pod.path for pod in disturbance.deleted) == [("pretrain",), ("split",)]
    for pod in disturbance.deleted:
        assert workflows.lost(found, pod.node)
        assert workflows.done_again(found, pod.node)
    assert size == len(json.dumps(found))
    assert workflows.pod_count(found) == len(workflows.tasks_of(package.spec)) + 2


def test_where_nothing_is_tried_again_the_run_fails(
    backend: Backend, server: Server, kubernetes: Kubernetes, package: Package, budget: Budget
) -> None:
    backend.retries = False
    disturbance = disturbed(backend, kubernetes, package, budget)
    run = started(server, package)
    assert follow(server, run, budget, 30, disturbance).state == "FAILED"
    (pod,) = disturbance.deleted
    assert not workflows.done_again(kubernetes.workflow(run)[0], pod.node)


def test_a_pod_is_left_alone_until_it_has_run_for_a_while(
    backend: Backend, server: Server, kubernetes: Kubernetes, package: Package, budget: Budget
) -> None:
    disturbance = disturbed(backend, kubernetes, package, budget)
    disturbance.after = 3600
    backend.held = {"pretrain": 0.5}
    assert follow(server, started(server, package), budget, 30, disturbance).state == "SUCCEEDED"
    assert disturbance.deleted == []


def test_a_pod_of_a_task_that_asks_for_a_gpu(
    backend: Backend, server: Server, kubernetes: Kubernetes, package: Package, budget: Budget
) -> None:
    backend.held = {"pretrain": 5}
    run = started(server, package, gpus="1")

    def training() -> list[workflows.TaskPod] | None:
        return [each for each in kubernetes.pods(run) if each.path == ("pretrain",)] or None

    (pod,) = budget.wait("pod", training, 10, every=0.05)
    assert pod.limits == {"nvidia.com/gpu": "1"}
    server.terminate(run)
    server.terminate(run)
    assert server.run(run).state == "CANCELED"


def test_a_run_without_a_workflow_has_no_pods(backend: Backend, kubernetes: Kubernetes) -> None:
    assert kubernetes.pods("none") == []
    with pytest.raises(MissingObjectError, match="pipeline/runid=none"):
        kubernetes.workflow("none")


def test_the_runs_of_a_schedule(server: Server, package: Package, budget: Budget) -> None:
    made = schedule(server, RunRequest(package, name="often"), "* * * * *")
    other = started(server, package)
    experiment = server.experiment("unlearning")
    assert experiment is not None
    (run,) = server.runs_of(made.schedule_id, experiment)
    assert run.run_id != other
    first = workflows.first_task(package.spec).name

    def past() -> bool | None:
        steps = status_of(server.run(run.run_id)).steps
        return any((each.name, each.state) == (first, "SUCCEEDED") for each in steps) or None

    assert budget.wait("first task", past, 10, every=0.05)
    server.terminate(run.run_id)


def test_a_compiled_file_is_uploaded_and_deleted(backend: Backend, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("pipelineInfo: {}\n")
    identity = server.upload(path, "mine")
    assert [each.display_name for each in backend.pipelines.values()] == ["mine"]
    with pytest.raises(UserError, match=r"upload p\.yaml: 409"):
        server.upload(path, "mine")
    server.delete_pipeline(identity)
    assert backend.pipelines == {}


def test_nothing_is_wrong_with_the_steps_of_a_run_that_succeeded(
    server: Server, package: Package, budget: Budget
) -> None:
    shown = follow(server, started(server, package), budget, 30).model_dump(mode="json")
    assert problems_with_steps(shown, package.spec) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda steps: steps.append(steps[0]), "Ingest data stands there 2 times"),
        (lambda steps: steps[0].update(state="PENDING"), "Ingest data is PENDING"),
        (lambda steps: steps.pop(0), "Ingest data is not told"),
        (lambda steps: steps.append(steps[0] | {"name": "ingest-driver"}), "ingest-driver is no name"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_steps_is_found(package: Package, change: Any, problem: str) -> None:
    steps = [
        {"depth": 0, "name": each.name, "state": "SUCCEEDED"}
        for each in sorted(workflows.tasks_of(package.spec), key=lambda each: each.name != "Ingest data")
        if len(each.path) == 1
    ]
    assert problems_with_steps({"steps": steps}, package.spec) == []
    change(steps)
    (found,) = problems_with_steps({"steps": steps}, package.spec)
    assert found.startswith(problem)


def test_an_answer_is_read_or_told() -> None:
    assert Answer(("status", "x"), 0, '{"a": 1}', "").json == {"a": 1}
    for failed in (Answer(("status", "x"), 2, "", "error: no such run"), Answer(("status", "x"), 0, "no JSON", "")):
        with pytest.raises(AssertionError, match="unlearn status x ended with"):
            _ = failed.json


def test_a_command_sees_the_environment_that_it_is_given(tmp_path: Path) -> None:
    answer = runs.unlearn(["requests", "list", "--json"], {"UNLEARNING_STORE": str(tmp_path / "store")}, tmp_path)
    assert answer.json["requests"] == []
